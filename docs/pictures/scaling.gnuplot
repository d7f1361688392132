# gnuplot docs/pictures/scaling.gnuplot, in the root of the sources: docs/pictures/scaling.csv as pictures.
set datafile separator ","
set terminal svg size 900,420 dynamic background rgb "white" font "sans,12"
set key outside right top noenhanced
set grid ytics lc rgb "#dddddd"

networks = "ethernet-1g ethernet-10g ethernet-100g infiniband"
colors = "#d62728 #1f77b4 #2ca02c #9467bd"
policies = "full lessismore raas"
do for [n = 1:4] {
    do for [p = 1:3] { set style line 3 * n + p lc rgb word(colors, n) lw 1.5 dt p pt 5 + p ps 0.5 }
}

# Lines of the study at 131,072 cached tokens, on hosts as fast as the one that was measured.
lines(network, model, policy) = \
    sprintf("< awk -F, '$1 == \"%s\" && $2 == \"%s\" && $4 == \"%s\" && $6 == 131072 && $8 == 1' docs/pictures/scaling.csv", \
            network, model, policy)

set xlabel "hosts"
set logscale xy 2
do for [model in "qwen3-8b qwen3-32b"] {
    set output sprintf("docs/pictures/scaling-%s.svg", model)
    set title sprintf("%s, 131,072 cached tokens: ms a token", model) noenhanced
    plot for [n = 1:4] for [p = 1:3] lines(word(networks, n), model, word(policies, p)) using 3:(1000 * $9) \
        with linespoints ls 3 * n + p title word(networks, n) . ", " . word(policies, p)
}

# What a token's time is made of.
set output "docs/pictures/scaling-shares.svg"
unset logscale
set title "qwen3-8b, 131,072 cached tokens, lessismore, Ethernet of 10 Gbit/s: ms a token"
set style data histograms
set style histogram rowstacked
set style fill solid 0.8 noborder
set boxwidth 0.7
set yrange [0:130]
parts = "compute 'sums behind attention' 'sums behind the MLP' partials scores agreement"
plot for [i = 1:6] lines("ethernet-10g", "qwen3-8b", "lessismore") \
    using (1000 * column(int(word("10 12 13 15 14 16", i)))):xtic(3) title word(parts, i)

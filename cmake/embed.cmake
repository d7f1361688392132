# cmake -DINPUT=FILE -DPARTS=FILE;… -DNAME=NAME -DHEADER=HEADER -DOUTPUT=FILE.c -P embed.cmake: FILE as `const char NAME[]`,
# with a NUL behind it. Each part takes the place of the line "@NAME OF THE PART@".
file(READ ${INPUT} text)
foreach(part ${PARTS})
    get_filename_component(name ${part} NAME)
    file(READ ${part} content)
    string(REPLACE "@${name}@\n" "${content}" text "${text}")
endforeach()
string(HEX "${text}" bytes)
string(REGEX REPLACE "(..)" "'\\\\x\\1'," bytes "${bytes}")
string(REGEX REPLACE "(('[^']*',){16})" "\\1\n" bytes "${bytes}")
file(WRITE ${OUTPUT} "#include \"${HEADER}\"\n\nconst char ${NAME}[] = {\n${bytes}0};\n")

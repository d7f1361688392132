#include "coordinator/tokenizer/gguf_splitter_impl.h"

#include <string.h>

#define LIST(...)                                                                                            \
    (const char *const[]) {                                                                                  \
        __VA_ARGS__, NULL                                                                                    \
    }

#define GPT2_WORDS   "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)"
#define CONTRACTIONS "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])"
#define SPACES       "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

/* The family of cl100k: how many digits make a word is what differs. */
#define CL100K_WORDS(numbers)                                                                                \
    CONTRACTIONS "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|" numbers "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|" SPACES

#define UPPER "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"

/* The family of o200k: words break between lower and upper case. */
#define O200K_WORDS(contractions, numbers)                                                                   \
    "[^\\r\\n\\p{L}\\p{N}]?" UPPER "*" LOWER "+" contractions "|[^\\r\\n\\p{L}\\p{N}]?" UPPER "+" LOWER      \
    "*" contractions "|" numbers "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|" SPACES

#define DEEPSEEK_V3_WORDS                                                                                    \
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+"      \
    "| ?[\\p{P}\\p{S}]+[\\r\\n]*|" SPACES

/* Letters that have case, in the version of Unicode that DeepSeek trained with. */
#define DEEPSEEK_CASED                                                                                                                                                                                                                             \
    "A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-ώᾀ-ᾴᾶ-ᾼιῂ-ῄῆ-ῌῐ-ΐῖ-Ί" \
    "ῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤΩℨK-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃"

static const struct gguf_splitter known[] = {
    {LIST("gpt-2", "phi-2", "mpt", "olmo", "jais", "trillion", "granite-docling", "exaone4", "mellum"),
     LIST(GPT2_WORDS), false, false},
    {LIST("llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2"),
     LIST(CL100K_WORDS("\\p{N}{1,3}")), true, true},
    {LIST("dbrx", "smaug-bpe", "glm4", "chatglm-bpe"), LIST(CL100K_WORDS("\\p{N}{1,3}")), false, false},
    {LIST("qwen2", "deepseek-r1-qwen", "stablelm2", "megrez", "hunyuan", "grok-2", "solar-open"),
     LIST(CL100K_WORDS("\\p{N}")), false, false},
    {LIST("starcoder", "refact", "command-r", "smollm", "codeshell", "exaone", "minerva-7b"),
     LIST("\\p{N}", GPT2_WORDS), false, false},
    {LIST("tekken"), LIST(O200K_WORDS("", "\\p{N}")), true, true},
    {LIST("gpt-4o", "llama4", "kanana2"), LIST(O200K_WORDS(CONTRACTIONS "?", "\\p{N}{1,3}")), false, false},
    {LIST("deepseek-v3", "hunyuan-dense"), LIST("\\p{N}{1,3}", "[一-龥぀-ゟ゠-ヿ]+", DEEPSEEK_V3_WORDS),
     false, false},
    {LIST("deepseek-llm"),
     LIST("[\\r\\n]", "\\s?[" DEEPSEEK_CASED "]+", "\\s?[!-/:-~！-／：-～‘-‟　-。]+", "\\s+$",
          "[一-龥ࠀ-一가-퟿]+", "\\p{N}+"),
     false, false},
    {LIST("deepseek-coder"),
     LIST("[\\r\\n]", "\\s?\\p{L}+", "\\s?\\p{P}+", "[一-龥ࠀ-一가-퟿]+", "\\p{N}"), false, false},
    {LIST("default"), LIST("[\\p{P}\\$\\+<=>\\^~\\|]+", GPT2_WORDS, "\\p{N}+", "[0-9][0-9][0-9]"), false,
     false},
};

const struct gguf_splitter *gguf_splitter_find(const char *name, size_t size) {
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        for (const char *const *candidate = known[i].names; *candidate; candidate++)
            if (strlen(*candidate) == size && memcmp(*candidate, name, size) == 0) return &known[i];
    return NULL;
}

enum status gguf_splitter_build(const struct gguf_splitter *kind, const char *where,
                                struct splitter *splitter) {
    for (const char *const *regex = kind->regexes; *regex; regex++) {
        struct splitter_step step = {.kind = STEP_SPLIT, .behavior = SPLIT_ISOLATED};
        TRY(pattern_create_regex(*regex, where, &step.pattern));
        splitter->steps[splitter->n_steps++] = step;
    }
    return STATUS_OK;
}

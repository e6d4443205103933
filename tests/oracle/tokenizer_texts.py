"""The texts of the tokenizer's golden cases: languages, code, white space, digits, marks, special tokens and the like."""
import pathlib
import random
import sys
import unicodedata

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from languages import LANG  # noqa: E402

CODE = {
"c": "#include <stdio.h>\n\nint main(void)\n{\n\tfor (size_t i = 0; i < 10u; ++i)\n\t\tprintf(\"%zu\\n\", i * 0x1Fu);\n\treturn 0;\n}\n",
"cpp": "template <typename T>\nauto sum(const std::vector<T>& v) -> T {\n    T acc{};\n    for (auto&& x : v) acc += x; // fold\n    return acc;\n}\n",
"python": "def walk(tree, depth=0):\n    \"\"\"Yield (depth, node).\"\"\"\n    yield depth, tree\n    for kid in tree.get('kids', []):\n        yield from walk(kid, depth + 1)\n\n\nif __name__ == '__main__':\n    print(*walk({'kids': [{}]}), sep='\\n')\n",
"rust": "fn main() -> Result<(), Box<dyn std::error::Error>> {\n    let n: u64 = std::env::args().nth(1).ok_or(\"n?\")?.parse()?;\n    println!(\"{}\", (1..=n).map(|x| x.pow(2)).sum::<u64>());\n    Ok(())\n}\n",
"go": "package main\n\nimport \"fmt\"\n\nfunc main() {\n\tch := make(chan int, 3)\n\tgo func() { defer close(ch); for i := range 3 { ch <- i } }()\n\tfor v := range ch {\n\t\tfmt.Printf(\"%03d\\n\", v)\n\t}\n}\n",
"java": "public final class Main {\n    private static final int MAX_LEN = 1_000;\n    public static void main(String... args) {\n        System.out.println(String.join(\",\", args).substring(0, Math.min(MAX_LEN, 5)));\n    }\n}\n",
"js": "export const debounce = (fn, ms = 250) => {\n  let t;\n  return (...a) => { clearTimeout(t); t = setTimeout(() => fn(...a), ms); };\n};\nconsole.log(`a=${1 + 1}`, null ?? 'x', a?.b?.[0]);\n",
"ts": "type Deep<T> = { readonly [K in keyof T]: T[K] extends object ? Deep<T[K]> : T[K] };\ninterface Props<E extends HTMLElement> { ref?: E | null; onClick(): void }\n",
"html": "<!DOCTYPE html>\n<html lang=\"en\">\n  <body>\n    <p class=\"a b\">x &amp; y</p><!-- note -->\n  </body>\n</html>\n",
"css": ".card:hover > a::after {\n  content: \"\\2014\";\n  margin: -0.5rem auto 0;\n  color: #ff00aa80;\n}\n",
"sql": "SELECT u.id, COUNT(*) AS n\nFROM users u LEFT JOIN orders o ON o.user_id = u.id\nWHERE u.name LIKE 'A%' AND o.total >= 12.50\nGROUP BY u.id HAVING COUNT(*) > 3 ORDER BY n DESC;\n",
"sh": "#!/usr/bin/env bash\nset -euo pipefail\nfor f in *.txt; do\n  [[ -s \"$f\" ]] && sed -i 's/\\r$//' -- \"$f\" || true\ndone 2>/dev/null | sort -u | head -n 5\n",
"yaml": "server:\n  port: 8080\n  hosts:\n    - \"a.example\"\n    - b.example # second\n  tls: { enabled: yes, cert: ~ }\n",
"json": "{\"a\": [1, 2.5e-3, null, true], \"ключ\": \"знач\\u0435ние\\n\", \"nested\": {\"x\": {}}}",
"toml": "[package]\nname = \"demo\"\nversion = \"0.1.0\"\n\n[dependencies]\nserde = { version = \"1\", features = [\"derive\"] }\n",
"haskell": "module Main where\n\nqsort :: Ord a => [a] -> [a]\nqsort []     = []\nqsort (p:xs) = qsort [x | x <- xs, x < p] ++ [p] ++ qsort [x | x <- xs, x >= p]\n",
"lisp": "(defun fact (n)\n  (if (<= n 1)\n      1\n      (* n (fact (1- n)))))\n",
"asm": "main:\n\tvpdpbusd\t%ymm1, %ymm2, %ymm0\n\tmovl\t$0, %eax\n\tret\n\t.size\tmain, .-main\n",
"latex": "\\begin{align}\n  \\int_0^1 x^2\\,\\mathrm{d}x &= \\tfrac{1}{3} \\\\\n  e^{i\\pi} + 1 &= 0\n\\end{align}\n",
"makefile": "CFLAGS ?= -O2 -Wall\n\n%.o: %.c\n\t$(CC) $(CFLAGS) -c -o $@ $<\n\n.PHONY: clean\nclean:\n\t-rm -f *.o\n",
"diff": "--- a/x.c\n+++ b/x.c\n@@ -1,3 +1,4 @@\n int x;\n-int y;\n+long y;\n+long z;\n",
"regex": r"^(?:[a-z0-9!#$%&'*+/=?^_`{|}~-]+)@(?:[a-z0-9-]+\.)+[a-z]{2,}$",
}

SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>",
            "<|box_start|>", "<|box_end|>", "<|quad_start|>", "<|quad_end|>", "<|vision_start|>",
            "<|vision_end|>", "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>", "<tool_call>",
            "</tool_call>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", "<|fim_pad|>",
            "<|repo_name|>", "<|file_sep|>", "<tool_response>", "</tool_response>", "<think>", "</think>",
            "<|audio_start|>", "<|audio_end|>", "<tts_pad>", "<tts_text_bos>", "<tts_text_eod>",
            "<tts_text_bos_single>", "<|audio_pad|>"]


def texts():
    rnd = random.Random(35)
    nfd = lambda s: unicodedata.normalize("NFD", s)
    for k, s in LANG.items():
        yield "lang", k, s
        yield "lang-nfd", k, nfd(s)
        yield "lang-mixed", k, s.upper() + "\r\n\r\n\t" + s[:20].lower() + "  1234567890 " + nfd(s[5:25])
    for k, s in CODE.items():
        yield "code", k, s
        yield "code-crlf", k, s.replace("\n", "\r\n")
        yield "code-indent", k, "".join("        " + l for l in s.splitlines(True))
    for i, s in enumerate(["", " ", "  ", "   ", "\t", "\n", "\n\n", "\r", "\r\n", "\r\r", "\n\r", " \n", "\n ", " \n ",
              "\n\n ", "  \n\n  ", " \t \n\t ", "a ", "a  ", " a", "  a", "   a", "a b", "a  b", "a   b", "a\tb",
              "a\t\tb", "a\n b", "a \nb", "a\n\nb", "a\r\nb", "a \r\n b", "a\u00a0b", "a\u00a0\u00a0b", "\u3000a",
              "\u3000\u3000a", "\u2003x\u2009y", "\u2028x\u2029y", "\u0085x", "x\u000b\u000cy", "\u1680x",
              "\u202fx", "\u205fx", "\u180ex", "\u200bx", "\ufeffx", "x\ufeff", "\u001c\u001dx", " " * 16,
              " " * 17 + "x", "\n" * 9, "\t" * 13, " " * 127, " " * 128, " " * 129, " " * 1000, "\n" * 1000,
              "x" + " " * 50 + "\n" + " " * 50 + "y", ("\t" * 3 + "\n") * 5, " \u00a0 \u00a0x", "a\u00a0\nb"]):
        yield "space", str(i), s
    for i, s in enumerate(["I'm", "I'M", "it's it'S IT'S", "they're THEY'RE They'Re", "we've WE'VE", "I'll I'LL I'Ll",
              "he'd HE'D", "don't DON'T", "'s", "'S", "''s", "'''re", "x'ſ", "'ſ", "rock'n'roll", "' s", "a's's's",
              "don’t they’re", "'sx 'tx 'lx 'l 'v 'r", "!'re", "5's", " 's", "\n's", "'\n's", "l'été d'où",
              "o'clock O'Brien", "'d'm't", "'ſſ 'ﬅ"]):
        yield "contraction", str(i), s
    for i, s in enumerate(["0", "7", "42", "007", "123456789012345678901234567890", "3.14159", "-1e-10", "1,234,567.89",
              "0xDEADBEEF", "1/2 ½ ⅓ ⅘", "²³⁴ ₀₁₂", "①②③ ⑴⒈", "Ⅳ ⅷ ↂ", "٣٤٥ ۳۴۵", "०१२३ ১২৩ ௧௨௩", "〇一二三", "１２３",
              "𝟘𝟙𝟚 𝟭𝟮𝟯", "2026-11-23T23:59:60.000Z", "192.168.0.1:8080", "v1.2.3-rc.4+build.5", "50%", "$9.99 €5 ¥100",
              "1st 2nd 3rd", "a1b2c3", "1a", "1 a", " 1", "  1", "\n1", "1\n", "1\r\n2", "五1六2", "꘠꘡", "𐒠𐒡", "፩፪", "〡〢"]):
        yield "digits", str(i), s
    for i, s in enumerate(["😀", "😀😃😄", "👍🏽", "👨‍👩‍👧‍👦", "🏳️‍🌈", "🏴󠁧󠁢󠁳󠁣󠁴󠁿", "🇯🇵🇫🇷", "1️⃣2️⃣#️⃣", "❤️❤", "🧑🏿‍🚀 ok", "text😀text", "😀 😀",
              "😀\n😀", "🫠🫡🪿🫨", "☃︎☃️", "©®™", "♥♦♣♠", "⠓⠑⠇⠇⠕", "┌──┐\n│ab│\n└──┘", "▁▂▃▄▅▆▇█", "→←↑↓⇒⇔", "∀x∈ℝ: ⌈x⌉ = −⌊−x⌋",
              "α≠β≤γ∞", "𝐁𝐨𝐥𝐝 𝒮𝒸𝓇𝒾𝓅𝓉", "Ｆｕｌｌｗｉｄｔｈ", "ﬁ ﬂ ﬀ", "🀄🂡", "🄰🅱", "𓀀𓁐", "𒀀𒁀", "🜁🜂", "𐀀𐀁", "\U0001F9FF" * 30]):
        yield "symbols", str(i), s
    for i, s in enumerate(["e\u0301", "é", "E\u0301cole", "a\u0308\u0304", "\u0304\u0308a", "o\u0302\u0323", "q\u0307\u0323", "\u0301",
              "\u0301\u0301", " \u0301", "  \u0301a", "!\u0301", "5\u0301", "\n\u0301", "a\u0301\u0327", "Å Å \u212b", "ﬁ", "가 \u1100\u1161",
              "\u1100\u1161\u11a8", "각", "क्ष क़ \u0958", "\u09c7\u09be", "\u0b47\u0b56", "\u0cc6\u0cc2\u0cd5", "\u0e4d\u0e32 \u0e33", "\u1025\u102e", "שּׁ \ufb2c",
              "Z̷̨̧a̶l̵g̸o̷", "x" + "\u0301" * 40, "\u0344", "\u0340\u0341", "\u037e;", "\u2126Ω", "\u1e9b\u0323", "\u0f43", "\U0001d15e", "\U0001109a\U000110ba",
              "\u3099か\u3099", "ｶ\uff9e", "\u0300\u0345\u0301", "i\u0307 İ", "\u20dd\u20e3a", "a\u0903b", "\u093e\u093f", "\u200d\u0301", "ก\u0e34\u0e49"]):
        yield "marks", str(i), s
    for i, s in enumerate(["...", "....\n", "!?!?!?", "--", "---\n---\n", "=====", "#### H", "**bold** _it_ `code`", "[a](b) ![c](d)",
              "(a)[b]{c}<d>", "a,b;c:d", "«x» “y” ‘z’ „w“", "¿Qué? ¡Sí!", "。、！？「」『』", "،؛؟", "।॥", "a/b\\c|d", "x=y==z===w", "a&&b||!c", "<<>>=",
              "\"quoted\"", "it's \"so\"", "@user #tag", "http://a.example/b?c=d&e=%20#f", "me@x.example", "~/.config/*.d", "C:\\Users\\x", "$HOME/${x:-y}",
              "<b>x</b>", "&lt;&#39;", "\\n\\t\\u0041", "a…b", "–—―", "a\u00adb", "`` ` ``", "!\n!\n\n!", ".\r\n.\r\n", " .", " ..", "  ..", "\t..", ". . .", "x.\n\n\n\ny"]):
        yield "punct", str(i), s
    for i, s in enumerate(["\x00", "a\x00b", "\x00\x00\x00", "\x01\x02\x1f\x7f", "\x80\x9f", "\ufffd", "\ufffe\uffff", "\U0010ffff", "\ue000\uf8ff", "\U000e0041",
              "\u2060x", "\u202eabc\u202c", "\u061cx", "\u0378\u0379", "\U0001fffe", "\ufdd0", "\u200e\u200f", "a\x1bb[0m", "\x08\x07", "\ufff9x\ufffa"]):
        yield "control", str(i), s
    words = "alpha βήτα гамма デルタ epsilon_zeta camelCaseWord SCREAMING_SNAKE x86_64 naïve Straße 漢字 한글 ไทย हिंदी".split()
    seps = [" ", "  ", "\n", "\t", "", ".", ", ", "\r\n", " - ", "/", "'", "\u00a0"]
    for i in range(60):
        n = rnd.randint(1, 14)
        yield "mix", str(i), "".join(rnd.choice(words) + rnd.choice(seps) for _ in range(n))
    pools = ["ab \n", "a1 .\t", "é\u0301e ", "あいア亜 ", "нет\u0308 ", "'slLrRvVeE ", "\r\n\t x", "  !?x", "0123", "ก\u0e34\u0e48า", "ae\u0301\u0327\u0308", "\u200d😀\ufe0f🏽"]
    for i in range(60):
        p = rnd.choice(pools) + rnd.choice(pools)
        yield "fuzz", str(i), "".join(rnd.choice(p) for _ in range(rnd.randint(3, 60)))


def special_texts():
    for s in SPECIALS:
        yield "a " + s + " b" + s
    yield from ["<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n",
                "<|im_start|>assistant\n<think>\n", "<|vision_start|><|image_pad|><|image_pad|><|vision_end|>x",
                "<tool_call>\n<function=f>\n<parameter=a>\n1\n</parameter>\n</function>\n</tool_call>",
                "  <|im_end|>  ", "a  <|im_end|>  b", "e<|im_end|>\u0301", "<|im_end|>\n\n", "\n\n<|im_end|>", "x\n <think> \ny",
                "<|im_end", "|im_end|>", "<|im_end|", "<|IM_END|>", "< |im_end|>", "<<|im_end|>>", "<|im_end|><|im_end|>",
                "<|im_<|im_end|>end|>", "<think", "<think>>", "<<think>", "</think></think>", "< think>", "<Think>",
                "<tool_call", "<tool_calls>", "<tts_text_bos><tts_text_bos_single>", "<|endoftext|>Hello", "'<|im_end|>'s",
                "１<|im_end|>２", "<|extra_0|>", "<|reserved_special_token_0|>", "<|fim_prefix|>def f():<|fim_suffix|>\n<|fim_middle|>"]


def long_texts():
    """(name, unit, times): what a quadratic encoder does not finish"""
    yield from (("a100k", "a", 100000), ("ab50k", "ab", 50000), ("a-accent", "\u00e1", 20000), ("cjk", "\u6c34", 20000), ("spaces", " ", 50000),
                ("newlines", "\n", 20000), ("bang", "!", 30000), ("zero", "0", 20000), ("emoji", "\U0001F600", 10000), ("word", "hello ", 10000),
                ("thai", "\u0e01\u0e34\u0e48", 10000))


def long_word():
    rnd = random.Random(7)
    return "".join(rnd.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(20000))


BROKEN = ["ff", "c3", "c328", "e28281e282", "f09f98", "f0808080", "eda080", "c080", "61ff62", "80", "f4908080", "e0a0", "6180e282ac"]  # bytes that are no UTF-8

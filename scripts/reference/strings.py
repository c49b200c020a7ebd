"""Awkward strings for tokenizers: hand-picked cases and seeded random mixes. The same list on every machine."""
import random

WORDS = ["the", "Quantization", "naïve", "can't", "WE'LL", "they're", "I'd", "rock'n'roll", "état", "straße", "İstanbul",
         "ﬁne", "Ωmega", "привет", "мир", "שלום", "مرحبا", "नमस्ते", "ไทย", "한국어", "日本語", "你好世界", "𝔘𝔫𝔦", "co-op"]
SPACES = [" ", "  ", "   ", "\t", "\n", "\r\n", "\n\n", " \n ", "\u00a0", "\u2003", "\u3000", "\u200b", "\u2028", "\x0b", "\x0c", "\x85",
          "\u202f", "\u205f", "\u1680", "\u180e"]
NUMBERS = ["0", "7", "12", "123", "1234", "12345", "3.14159", "1,000,000", "1e-5", "٣٤٥", "²³", "½", "Ⅻ", "①", "१२३", "0x1F", "𝟘𝟙"]
EMOJI = ["😀", "👨‍👩‍👧‍👦", "🏳️‍🌈", "👍🏽", "🇫🇷", "✈️", "❤️‍🔥", "🧑🏿‍🚀", "#️⃣"]
CONTROL = ["\x00", "\x01", "\x07", "\x1b[31m", "\x7f", "\ufeff", "\u200d", "\u200e", "\ufffd", "\ufffe", "\U0010ffff", "\ue000"]
PUNCTUATION = ["!", "?!", "...", "—", "“quoted”", "'", "''", "`", "``", "#", "@user", "$5", "%", "&&", "*", "->", "::", "<br/>", "{}", "\\n",
               "//", "_", "__init__", "~", "€", "°", "†", "٪", "。", "、"]
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<repo_name>", "<reponame>", "<file_sep>", "<filename>", "<gh_stars>",
           "<issue_start>", "<issue_comment>", "<issue_closed>", "<jupyter_start>", "<jupyter_text>", "<jupyter_code>",
           "<jupyter_output>", "<jupyter_script>", "<empty_output>"]
ACCENTS = ["é", "e\u0301", "ñ", "n\u0303", "ç", "c\u0327", "å", "a\u030a", "ü", "u\u0308", "ệ", "e\u0323\u0302", "\u0301", "Ǆ", "ſ"]


def hand_picked():
    out = ["", " ", "a", "\n", "\t", "\r", "\r\n", "\r\n\r\n", " \t \n ", "Hello world! 123", "The capital of France is", "Café déjà vu."]
    out += [" " * n for n in range(2, 20)] + [" " * n + "x" for n in range(1, 12)] + ["x" + " " * n for n in range(1, 12)]
    out += ["\n" * n for n in range(2, 8)] + ["\t" * n + "if" for n in range(1, 8)] + ["a" + "\n" * n + " b" for n in range(1, 5)]
    out += ["1" * n for n in range(1, 12)] + [" " + "9" * n for n in range(1, 5)] + [n + " " + n for n in NUMBERS]
    for suffix in ["s", "t", "re", "ve", "m", "ll", "d", "x"]:
        out += ["it'" + suffix, "IT'" + suffix.upper(), "it’" + suffix, " '" + suffix, "'" + suffix.title() + "'", "'" + suffix + suffix]
    out += WORDS + SPACES + EMOJI + CONTROL + PUNCTUATION + ACCENTS
    out += ["caf" + a + "s" for a in ACCENTS] + [a * 3 for a in ACCENTS]
    out += [s + w for s in SPACES for w in ("word", "5", "!")]
    out += SPECIAL + ["a" + s + "b" for s in SPECIAL] + [" " + s + " " for s in SPECIAL] + [s * 2 for s in SPECIAL]
    out += [s[:-1] for s in SPECIAL] + ["<|im_start|>user\nHi<|im_end|>\n", "<|im_start|><|im_start|", "<<|im_end|>>", "<|IM_END|>"]
    out += ["a" * 5000, "ab" * 2000, " " * 3000, "\n" * 3000, "9" * 3000, "é" * 2000, "漢" * 1000, "!" * 3000, "a " * 2000, "'s" * 1000]
    out += ["def f(x):\n\treturn x**2  # square\n", "{\"key\": [1, 2.5, null]}", "SELECT * FROM t WHERE a='b';", "http://example.org/a?b=c&d=%20",
            "line one\r\nline two\r\n", "mixed \u0645\u0631\u062d\u0628\u0627 123 abc", "\u202eright-to-left\u202c", "tab\tseparated\tvalues"]
    return out


def random_mixes(count, seed=20240917):
    rng = random.Random(seed)
    kinds = [WORDS, SPACES, NUMBERS, EMOJI, CONTROL, PUNCTUATION, SPECIAL, ACCENTS]
    ranges = [(0x20, 0x7f), (0xa0, 0x250), (0x370, 0x530), (0x590, 0x780), (0x900, 0xe00), (0x2000, 0x2c00), (0x3000, 0x9fff), (0x1f300, 0x1fa00)]
    out = []
    for i in range(count):
        if i % 2 == 0:
            parts = [rng.choice(rng.choice(kinds)) for _ in range(rng.randint(2, 12))]
            out.append(rng.choice(["", " "]).join(parts))
        else:
            low, high = rng.choice(ranges)
            out.append("".join(chr(rng.randrange(low, high)) if rng.random() < 0.8 else rng.choice(SPACES) for _ in range(rng.randint(1, 30))))
    return out


def all_strings():
    return list(dict.fromkeys(hand_picked() + random_mixes(400)))

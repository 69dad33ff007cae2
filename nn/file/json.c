/* json.c: checks a JSON text (RFC 8259), and reads a text without faults in place. */
#include "nn/file/json.h"

#include <string.h>

/* ---- UTF-8 (RFC 3629) -------------------------------------------------------------------------------- */

int nn__utf8_size(const char *text, size_t n) {
    const unsigned char *p = (const unsigned char *)text;
    if (n == 0) return 0;
    int size = p[0] < 0x80 ? 1 : p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : p[0] < 0xf5 ? 4 : 0;
    if (size == 0 || n < (size_t)size) return 0;
    for (int i = 1; i < size; i++)
        if ((p[i] & 0xc0) != 0x80) return 0;
    bool longer = (p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xf0 && p[1] < 0x90); /* than the character needs */
    bool no_character = (p[0] == 0xed && p[1] > 0x9f) || (p[0] == 0xf4 && p[1] > 0x8f);
    return longer || no_character ? 0 : size;
}

static char *put_utf8(char *to, uint32_t c) {
    if (c < 0x80) return *to++ = (char)c, to;
    if (c < 0x800) *to++ = (char)(0xc0 | c >> 6);
    else {
        if (c < 0x10000) *to++ = (char)(0xe0 | c >> 12);
        else *to++ = (char)(0xf0 | c >> 18), *to++ = (char)(0x80 | (c >> 12 & 63));
        *to++ = (char)(0x80 | (c >> 6 & 63));
    }
    return *to++ = (char)(0x80 | (c & 63)), to;
}

/* ---- checking ---------------------------------------------------------------------------------------- */

enum { DEEPEST = 64 };

typedef struct {
    const char *at, *end, *fault; /* fault: the first */
    uint64_t objects;             /* a bit for each open bracket, the innermost lowest: whether it is an object's */
    int depth;
} checker;

static bool fail(checker *c, const char *fault) {
    if (c->fault == NULL) c->fault = fault;
    return false;
}

static bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }
static bool is_digit(char c) { return c >= '0' && c <= '9'; }

/* The next character that is not blank, NUL at the end. */
static char next(checker *c) {
    while (c->at < c->end && is_blank(*c->at)) c->at++;
    return c->at < c->end ? *c->at : '\0';
}

static bool take(checker *c, char wanted) {
    if (c->at == c->end || *c->at != wanted) return false;
    return c->at++, true;
}

/* Four hexadecimal digits; -1 if there are none. */
static int32_t hex4(const char *at, const char *end) {
    int32_t v = 0;
    if (end - at < 4) return -1;
    for (int i = 0; i < 4; i++) {
        char c = at[i], small = (char)(c | 0x20);
        if (!is_digit(c) && !(small >= 'a' && small <= 'f')) return -1;
        v = v << 4 | (is_digit(c) ? c - '0' : small - 'a' + 10);
    }
    return v;
}

static bool is_high(int32_t unit) { return unit >= 0xd800 && unit < 0xdc00; }
static bool is_low(int32_t unit) { return unit >= 0xdc00 && unit < 0xe000; }

/* Behind \u: a unit of UTF-16, or two that belong together. */
static bool check_unit(checker *c) {
    int32_t unit = hex4(c->at, c->end);
    if (unit < 0) return fail(c, "\\u without four digits");
    if (unit == 0) return fail(c, "\\u0000 in a string");
    c->at += 4;
    if (!is_high(unit) && !is_low(unit)) return true;
    if (is_low(unit) || c->end - c->at < 6 || c->at[0] != '\\' || c->at[1] != 'u' || !is_low(hex4(c->at + 2, c->end)))
        return fail(c, "half a character of UTF-16");
    return c->at += 6, true;
}

static bool check_escape(checker *c) {
    c->at++;
    if (c->at == c->end || *c->at == '\0' || strchr("\"\\/bfnrtu", *c->at) == NULL) return fail(c, "unknown escape");
    return *c->at++ == 'u' ? check_unit(c) : true;
}

static bool check_string(checker *c) {
    if (!take(c, '"')) return fail(c, "a string is missing");
    while (c->at < c->end && *c->at != '"') {
        int size = nn__utf8_size(c->at, (size_t)(c->end - c->at));
        if ((unsigned char)*c->at < ' ') return fail(c, "a control character in a string");
        if (size == 0) return fail(c, "a string is not UTF-8");
        if (*c->at != '\\') c->at += size;
        else if (!check_escape(c)) return false;
    }
    return take(c, '"') || fail(c, "a string does not end");
}

static bool check_digits(checker *c) {
    if (c->at == c->end || !is_digit(*c->at)) return fail(c, "a number without digits");
    while (c->at < c->end && is_digit(*c->at)) c->at++;
    return true;
}

static bool check_number(checker *c) {
    take(c, '-');
    if (!take(c, '0') && !check_digits(c)) return false;
    if (take(c, '.') && !check_digits(c)) return false;
    if (!take(c, 'e') && !take(c, 'E')) return true;
    if (!take(c, '+')) take(c, '-');
    return check_digits(c);
}

static bool check_word(checker *c) {
    static const char *const words[] = { "true", "false", "null" };
    for (int i = 0; i < 3; i++) {
        size_t n = strlen(words[i]);
        if ((size_t)(c->end - c->at) >= n && memcmp(c->at, words[i], n) == 0) return c->at += n, true;
    }
    return fail(c, c->at == c->end ? "it ends too early" : "an unknown word");
}

/* A key and its colon. */
static bool check_key(checker *c) {
    next(c);
    if (!check_string(c)) return false;
    next(c);
    return take(c, ':') || fail(c, "a colon is missing");
}

/* Passes one value, or the bracket that begins it and the first key. Whether a value follows in that bracket. */
static bool begin_value(checker *c) {
    char kind = next(c);
    if (kind == '"') return check_string(c), false;
    if (kind == '-' || is_digit(kind)) return check_number(c), false;
    if (kind != '{' && kind != '[') return check_word(c), false;
    c->at++;
    if (next(c) == (kind == '{' ? '}' : ']')) return c->at++, false;
    if (c->depth == DEEPEST) return fail(c, "it is nested too deep");
    c->objects = c->objects << 1 | (kind == '{');
    c->depth++;
    return kind == '{' ? check_key(c) : true;
}

/* Behind a value: passes brackets that end, and a comma. Whether a value follows. */
static bool go_on(checker *c) {
    for (; c->depth > 0 && c->fault == NULL; c->depth--, c->objects >>= 1) {
        bool object = c->objects & 1;
        next(c);
        if (take(c, ',')) return object ? check_key(c) : true;
        if (!take(c, object ? '}' : ']')) fail(c, "a comma or a bracket is missing");
    }
    return false;
}

const char *nn__json_fault(const char *text, size_t n) {
    checker c = { .at = text, .end = text + n };
    do {
        while (begin_value(&c)) {}
    } while (c.fault == NULL && go_on(&c));
    if (c.fault == NULL && (next(&c) != '\0' || c.at < c.end)) fail(&c, "more text behind its end");
    return c.fault;
}

/* ---- reading a text without faults ------------------------------------------------------------------- */

char nn__json_kind(char **at) {
    while (is_blank(**at)) ++*at;
    return **at;
}

bool nn__json_enter(char **at) {
    nn__json_kind(at);
    ++*at;
    char c = nn__json_kind(at);
    if (c != '}' && c != ']') return true;
    return ++*at, false;
}

bool nn__json_more(char **at) { return nn__json_kind(at), *(*at)++ == ','; }

/* The character behind \u, which is one of UTF-16's units or two. */
static uint32_t take_unit(const char **from) {
    int32_t unit = hex4(*from, *from + 4);
    *from += 4;
    if (!is_high(unit)) return (uint32_t)unit;
    int32_t low = hex4(*from + 2, *from + 6);
    *from += 6;
    return 0x10000 + ((uint32_t)(unit & 0x3ff) << 10) + (uint32_t)(low & 0x3ff);
}

char *nn__json_string(char **at) {
    static const char letters[] = "bfnrt", meant[] = "\b\f\n\r\t";
    nn__json_kind(at);
    char *text = *at + 1, *to = text;
    const char *from = text;
    while (*from != '"') {
        char c = *from++;
        if (c == '\\') {
            const char *letter = strchr(letters, c = *from++);
            if (c == 'u') {
                to = put_utf8(to, take_unit(&from));
                continue;
            }
            if (letter != NULL) c = meant[letter - letters];
        }
        *to++ = c;
    }
    *to = '\0';
    *at += from + 1 - *at;
    return text;
}

char *nn__json_key(char **at) {
    char *key = nn__json_string(at);
    nn__json_kind(at);
    ++*at; /* the colon */
    return key;
}

static bool is_of_number(char c) { return is_digit(c) || c == '-' || c == '+' || c == '.' || c == 'e' || c == 'E'; }

bool nn__json_integer(char **at, int64_t *to) {
    bool negative = nn__json_kind(at) == '-', fits = is_of_number(**at);
    uint64_t v = 0, most = (uint64_t)INT64_MAX + negative;
    for (*at += negative; is_of_number(**at); ++*at) {
        uint64_t digit = (uint64_t)(**at - '0');
        fits = fits && is_digit(**at) && v <= (most - digit) / 10;
        v = v * 10 + digit;
    }
    *to = !fits ? 0 : negative && v > 0 ? -(int64_t)(v - 1) - 1 : (int64_t)v;
    return fits;
}

static void skip_string(char **at) {
    for (++*at; **at != '"'; ++*at) *at += **at == '\\';
    ++*at;
}

void nn__json_skip(char **at) {
    int64_t depth = 0;
    do {
        char c = nn__json_kind(at);
        if (c == '"') skip_string(at);
        else if (c == '-' || is_digit(c))
            while (is_of_number(**at)) ++*at;
        else if (c >= 'a' && c <= 'z')
            while (**at >= 'a' && **at <= 'z') ++*at;
        else depth += (c == '{' || c == '[') - (c == '}' || c == ']'), ++*at; /* also commas and colons */
    } while (depth > 0);
}

int nn__json_count(char *at) {
    int n = 0;
    bool object = nn__json_kind(&at) == '{';
    for (bool more = nn__json_enter(&at); more; more = nn__json_more(&at), n++) {
        if (object) nn__json_skip(&at), nn__json_kind(&at), at++;
        nn__json_skip(&at);
    }
    return n;
}

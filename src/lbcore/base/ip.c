/* ip: see ip.h. */
#include "base/ip.h"

/* dec-octet ("." dec-octet){3}, the whole of `text`. */
static bool read_v4(lb_str text, unsigned char *out) {
    size_t i = 0;
    for (int part = 0; part < 4; part++) {
        if (part > 0 && (i == text.len || text.data[i++] != '.')) return false;
        size_t begin = i;
        unsigned value = 0;
        for (; i < text.len && i - begin < 3 && text.data[i] >= '0' && text.data[i] <= '9'; i++)
            value = value * 10 + (unsigned)(text.data[i] - '0');
        if (i == begin || value > 255 || (i - begin > 1 && text.data[begin] == '0')) return false;
        out[part] = (unsigned char)value;
    }
    return i == text.len;
}

/* -1: no hexadecimal digit. */
static int digit_of(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* One to four digits at *i as two bytes. */
static bool read_group(lb_str text, size_t *i, unsigned char *out) {
    size_t begin = *i;
    unsigned value = 0;
    for (; *i < text.len && *i - begin < 4 && digit_of(text.data[*i]) >= 0; ++*i)
        value = value * 16 + (unsigned)digit_of(text.data[*i]);
    out[0] = (unsigned char)(value >> 8);
    out[1] = (unsigned char)value;
    return *i > begin;
}

/* What was read, with the gap behind the first `before` bytes opened to 16 (before < 0: there is none). */
static bool open_gap(unsigned char *out, int n, int before) {
    if (before < 0 || n > 14) return n == 16 && before < 0;
    int after = n - before;
    memmove(out + 16 - after, out + before, (size_t)after);
    memset(out + before, 0, (size_t)(16 - n));
    return true;
}

/* Groups from *i on until the text ends; ":" between them, once "::".  The last two may be an IPv4 address. */
static bool read_v6(lb_str text, unsigned char *out) {
    int n = 0, gap = -1;
    size_t i = 0;
    for (bool first = true; i < text.len; first = false) {
        bool colon = text.data[i] == ':', two = colon && i + 1 < text.len && text.data[i + 1] == ':';
        if (two ? gap >= 0 : colon == first) return false;
        if (two) gap = n;
        i += two ? 2 : colon;
        if (two && i == text.len) break;
        if (n <= 12 && read_v4((lb_str){text.data + i, text.len - i}, out + n)) return open_gap(out, n + 4, gap);
        if (n == 16 || !read_group(text, &i, out + n)) return false;
        n += 2;
    }
    return open_gap(out, n, gap);
}

int lb_ip_read(lb_str text, unsigned char *out) {
    if (read_v4(text, out)) return 4;
    const char *zone = text.len ? memchr(text.data, '%', text.len) : NULL;
    if (zone) text.len = (size_t)(zone - text.data);
    return read_v6(text, out) ? 16 : 0;
}

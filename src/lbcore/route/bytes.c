/* bytes: see bytes.h. */
#include "route/bytes.h"

/* One name per combination.  The table is laid out by the code of the character: row the high, column the low digit. */
enum {
    o = 0,                                          /* nowhere in a target, host, method or field name */
    T = LB_BYTE_TOKEN,                              /* # % ^ ` | */
    P = LB_BYTE_PATH | LB_BYTE_QUERY,               /* / ( ) , : ; = @ [ ] */
    Q = LB_BYTE_QUERY,                              /* ? */
    B = LB_BYTE_TOKEN | P,                          /* ! $ & ' * + */
    W = B | LB_BYTE_UNRESERVED,                     /* . ~ */
    N = W | LB_BYTE_LABEL,                          /* - _ g to z */
    X = N | LB_BYTE_HEX,                            /* 0 to 9, a to f */
    U = N | LB_BYTE_UPPER,                          /* G to Z */
    H = X | LB_BYTE_UPPER,                          /* A to F */
};

const uint8_t lb_byte_classes[256] = {
    /*        0  1  2  3  4  5  6  7  8  9  A  B  C  D  E  F */
    /* 0 */   o, o, o, o, o, o, o, o, o, o, o, o, o, o, o, o,
    /* 1 */   o, o, o, o, o, o, o, o, o, o, o, o, o, o, o, o,
    /* 2 */   o, B, o, T, B, T, B, B, P, P, B, B, P, N, W, P,      /*   ! " # $ % & ' ( ) * + , - . / */
    /* 3 */   X, X, X, X, X, X, X, X, X, X, P, P, o, P, o, Q,      /* 0 to 9          : ; < = > ? */
    /* 4 */   P, H, H, H, H, H, H, U, U, U, U, U, U, U, U, U,      /* @ A to O */
    /* 5 */   U, U, U, U, U, U, U, U, U, U, U, P, o, P, T, N,      /* P to Z          [ \ ] ^ _ */
    /* 6 */   T, X, X, X, X, X, X, N, N, N, N, N, N, N, N, N,      /* ` a to o */
    /* 7 */   N, N, N, N, N, N, N, N, N, N, N, o, T, o, W, o,      /* p to z          { | } ~ DEL */
};                                                                 /* 80 to FF: nowhere */

static int hex_value(char c) { return c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10; }

int lb_byte_escaped(const char *at, size_t left) {
    if (left < 3 || !lb_byte_is(at[1], LB_BYTE_HEX) || !lb_byte_is(at[2], LB_BYTE_HEX)) return -1;
    return hex_value(at[1]) * 16 + hex_value(at[2]);
}

bool lb_is_token(lb_str text) {
    for (size_t i = 0; i < text.len; i++)
        if (!lb_byte_is(text.data[i], LB_BYTE_TOKEN)) return false;
    return text.len > 0;
}

bool lb_equal_ignoring_case(lb_str a, lb_str b) {
    if (a.len != b.len) return false;
    for (size_t i = 0; i < a.len; i++)
        if (lb_byte_lower(a.data[i]) != lb_byte_lower(b.data[i])) return false;
    return true;
}

static bool is_space(char c) { return c == ' ' || c == '\t'; }

lb_str lb_trimmed(lb_str text) {
    while (text.len > 0 && is_space(text.data[0])) text = (lb_str){text.data + 1, text.len - 1};
    while (text.len > 0 && is_space(text.data[text.len - 1])) text.len--;
    return text;
}

/* template: see template.h; the captures of a match.
 *
 *     /users/{id}/files/{path...}         no literal byte of a path is "{" or "}": a URI cannot hold them
 *     /users/7/files/a/b                  id: "7", path: "a/b"
 *
 * Cost    captures: one pass over template and path, only when somebody asks.
 */
#include "route/template.h"

#include "route/bytes.h"

static bool ends_with(lb_str text, lb_str end) {
    return text.len >= end.len && memcmp(text.data + text.len - end.len, end.data, end.len) == 0;
}

/* From the "/" at *at to the next one or the end. */
static lb_str take_segment(lb_str path, size_t *at) {
    size_t begin = ++*at;
    while (*at < path.len && path.data[*at] != '/') ++*at;
    return (lb_str){path.data + begin, *at - begin};
}

bool lb_segment_next(lb_str template, size_t *at, lb_segment *out) {
    if (*at >= template.len) return false;
    lb_str text = take_segment(template, at);
    *out = (lb_segment){text, LB_SEGMENT_LITERAL};
    if (text.len < 2 || text.data[0] != '{' || text.data[text.len - 1] != '}') return true;
    out->text = (lb_str){text.data + 1, text.len - 2};
    out->kind = ends_with(out->text, lb_str_of("...")) ? LB_SEGMENT_TAIL : LB_SEGMENT_PARAMETER;
    if (out->kind == LB_SEGMENT_TAIL) out->text.len -= 3;
    return true;
}

bool lb_segment_has_name(const lb_segment *segment) {
    for (size_t i = 0; i < segment->text.len; i++) {
        char c = segment->text.data[i];
        if (!lb_byte_is(c, LB_BYTE_LABEL) || c == '-') return false;
    }
    return segment->text.len > 0;
}

uint32_t lb_template_characters(lb_str template) {
    lb_segment segment;
    size_t n = 0;
    for (size_t at = 0; lb_segment_next(template, &at, &segment);)
        if (segment.kind != LB_SEGMENT_TAIL) n += 1 + (segment.kind == LB_SEGMENT_LITERAL ? segment.text.len : 0);
    return (uint32_t)n;
}

bool lb_template_has_tail(lb_str template) {
    lb_segment segment = {0};
    for (size_t at = 0; lb_segment_next(template, &at, &segment);) {}
    return segment.kind == LB_SEGMENT_TAIL;
}

uint32_t lb_template_captures(lb_str template, lb_str path, lb_capture *out, uint32_t n) {
    lb_segment segment;
    uint32_t found = 0;
    for (size_t at = 0, in_path = 0; lb_segment_next(template, &at, &segment) && in_path < path.len;) {
        size_t begin = in_path + 1;
        lb_str text = take_segment(path, &in_path);
        if (segment.kind == LB_SEGMENT_LITERAL) continue;
        if (segment.kind == LB_SEGMENT_TAIL) text = (lb_str){path.data + begin, path.len - begin};
        if (found < n) out[found] = (lb_capture){segment.text, text};
        found++;
    }
    return found;
}

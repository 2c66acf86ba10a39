/* template: "/users/{id}/files/{path...}", segment by segment. */
#ifndef LBCORE_ROUTE_TEMPLATE_H
#define LBCORE_ROUTE_TEMPLATE_H

#include "route/route.h"

typedef struct lb_segment {
    lb_str text;                    /* of a parameter: its name */
    enum { LB_SEGMENT_LITERAL = 0, LB_SEGMENT_PARAMETER, LB_SEGMENT_TAIL } kind;
} lb_segment;

/* The segment behind the "/" at *at, which moves to the next "/" or the end; false: *at was the end. */
bool lb_segment_next(lb_str template, size_t *at, lb_segment *out);

/* name = 1*( ALPHA / DIGIT / "_" ) */
bool lb_segment_has_name(const lb_segment *segment);

/* Bytes outside braces. */
uint32_t lb_template_characters(lb_str template);

/* Whether it ends in "{name...}". */
bool lb_template_has_tail(lb_str template);

#endif

# The routing part of lbcore.h for Cython; the rest is lbcore.pxd.
from libc.stdint cimport uint16_t, uint32_t, uint64_t

from lbcore cimport lb_error, lb_status, lb_str

cdef extern from "lbcore.h" nogil:
    ctypedef enum lb_path_type:
        LB_PATH_EXACT
        LB_PATH_PREFIX
        LB_PATH_TEMPLATE
        LB_PATH_PLAIN
        LB_PATH_REGEX

    ctypedef enum lb_flavor:
        LB_FLAVOR_GATEWAY_API
        LB_FLAVOR_INGRESS
        LB_FLAVOR_KONG_TRADITIONAL
        LB_FLAVOR_KONG_COMPATIBLE

    bint lb_flavor_whole_path(lb_flavor flavor)

    ctypedef enum lb_test:
        LB_TEST_EXACT
        LB_TEST_ANY_OF
        LB_TEST_PRESENT
        LB_TEST_ABSENT
        LB_TEST_REGEX

    enum:
        LB_CONDITION_HEADER
        LB_CONDITION_QUERY

    ctypedef struct lb_condition:
        int kind
        lb_str name
        lb_str value
        lb_test test
        uint32_t pattern
        const lb_str *values
        uint32_t n_values

    ctypedef struct lb_peers:
        lb_str block
        uint32_t port

    ctypedef struct lb_route_spec:
        const lb_str *hosts
        uint32_t n_hosts
        lb_str path
        lb_path_type path_type
        const lb_str *methods
        uint32_t n_methods
        const lb_condition *conditions
        uint32_t n_conditions
        const lb_str *snis
        uint32_t n_snis
        const lb_str *schemes
        uint32_t n_schemes
        const uint16_t *ports
        uint32_t n_ports
        const lb_peers *sources
        const lb_peers *destinations
        uint32_t n_sources
        uint32_t n_destinations
        uint32_t pattern
        uint32_t priority
        bint stream

    ctypedef struct lb_header:
        lb_str name
        lb_str value

    ctypedef struct lb_request:
        lb_str method
        lb_str host
        lb_str target
        const lb_header *headers
        uint32_t n_headers
        lb_str scheme
        lb_str sni
        lb_str source
        lb_str destination
        uint16_t port
        uint16_t source_port
        uint16_t destination_port

    ctypedef enum lb_match_outcome:
        LB_NO_ROUTE
        LB_FOUND
        LB_REFUSED
        LB_NEED_REGEX

    ctypedef struct lb_answer:
        uint32_t route
        lb_str path
        lb_str query
        lb_str host
        const char *reason

    ctypedef struct lb_router:
        pass

    lb_status lb_router_new(lb_router **out, const lb_route_spec *specs, uint32_t n, lb_flavor flavor, uint64_t seed,
                            lb_error *err)
    void lb_router_free(lb_router *router)

    const uint32_t LB_DELTA_MAX

    ctypedef struct lb_addition:
        lb_route_spec spec
        uint32_t before

    lb_status lb_router_change(lb_router **out, const lb_router *old, const uint32_t *removed, uint32_t n_removed,
                               const lb_addition *added, uint32_t n_added, lb_error *err)
    uint32_t lb_router_n_ids(const lb_router *router)
    uint32_t lb_router_n_changed(const lb_router *router)
    size_t lb_router_memory(const lb_router *router)

    size_t lb_scratch_size(const lb_request *request)
    lb_match_outcome lb_router_match(const lb_router *router, const lb_request *request, char *scratch,
                                     lb_answer *answer)
    lb_match_outcome lb_router_match_stream(const lb_router *router, const lb_request *request, lb_answer *answer)

    ctypedef struct lb_question:
        uint32_t pattern
        lb_str text

    ctypedef struct lb_matching:
        lb_question questions[32]
        uint32_t n_questions

    lb_match_outcome lb_router_begin(const lb_router *router, const lb_request *request, char *scratch,
                                     lb_matching *matching, lb_answer *answer)
    lb_match_outcome lb_router_resume(lb_matching *matching, uint32_t verdicts, lb_answer *answer)

    const uint32_t LB_N_SEGMENTS_MAX

    ctypedef struct lb_capture:
        lb_str name
        lb_str text

    uint32_t lb_template_captures(lb_str template, lb_str path, lb_capture *out, uint32_t n)

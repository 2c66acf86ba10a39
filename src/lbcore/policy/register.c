/* register: all selection policies, made from policies.def.
 *
 * Cost    a lookup is O(number of policies).
 * Keeps   the order of policies.def.
 */
#include "policy/policy.h"

#include <stdio.h>

#define LB_POLICY(name) extern const lb_policy lb_policy_##name;
#include "policy/policies.def"
#undef LB_POLICY

#define LB_POLICY(name) &lb_policy_##name,
const lb_policy *const lb_policies[] = {
#include "policy/policies.def"
};
#undef LB_POLICY

const uint32_t lb_n_policies = sizeof lb_policies / sizeof lb_policies[0];

const lb_policy *lb_policy_find(lb_str name) {
    for (uint32_t i = 0; i < lb_n_policies; i++)
        if (lb_str_equal(name, lb_str_of(lb_policies[i]->name))) return lb_policies[i];
    return NULL;
}

const char *const lb_no_yes[] = {"no", "yes", NULL};

/* "'a', 'b' or 'c'" into text; cut, never overrun. */
static void list_words(char *text, size_t size, const char *const *words) {
    size_t at = 0;
    text[0] = 0;
    for (int i = 0; words[i] && at < size; i++) {
        const char *before = i == 0 ? "" : words[i + 1] ? ", " : " or ";
        int n = snprintf(text + at, size - at, "%s'%s'", before, words[i]);
        at += n > 0 ? (size_t)n : size;
    }
}

lb_status lb_param_check(const lb_param *param, double value, lb_error *err) {
    bool fits = value >= param->min && value <= param->max;     /* false for NaN */
    if (param->words && (!fits || value != (double)(int64_t)value)) {
        char words[200];
        list_words(words, sizeof words, param->words);
        return lb_fail(err, LB_ERR_CONFIG, param->name, "%.15g is not the number of one of %s", value, words);
    }
    if (!fits)
        return lb_fail(err, LB_ERR_CONFIG, param->name, "%.15g is outside %.15g..%.15g", value, param->min, param->max);
    if (param->whole && value != (double)(int64_t)value)        /* in range, and whole ranges are far below 2^53 */
        return lb_fail(err, LB_ERR_CONFIG, param->name, "%.15g is not a whole number in %.15g..%.15g", value,
                       param->min, param->max);
    return LB_OK;
}

uint32_t lb_policy_defaults(const lb_policy *policy, double *param) {
    uint32_t n = 0;
    for (const lb_param *p = policy->params; p && p->name; p++) param[n++] = p->initial;
    return n;
}

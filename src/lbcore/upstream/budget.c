/* budget: see budget.h. */
#include "upstream/budget.h"

#define SECOND_NS 1000000000u

/* Seconds that have passed since the last call leave the window. */
static uint32_t place_at(lb_budget *budget, uint64_t now_ns) {
    uint64_t second = now_ns / SECOND_NS;
    for (uint32_t i = 0; i < LB_BUDGET_SECONDS && budget->second < second; i++) {
        uint32_t place = (uint32_t)(++budget->second % LB_BUDGET_SECONDS);
        budget->first[place] = budget->retries[place] = 0;
    }
    if (budget->second < second) budget->second = second;       /* all ten are empty: their places do not matter */
    return (uint32_t)(budget->second % LB_BUDGET_SECONDS);
}

void lb_budget_earn(lb_budget *budget, uint64_t now_ns) {
    uint32_t *first = &budget->first[place_at(budget, now_ns)];
    if (*first < UINT32_MAX) ++*first;
}

bool lb_budget_spend(lb_budget *budget, uint32_t percent, uint32_t per_second, uint64_t now_ns) {
    uint32_t place = place_at(budget, now_ns);
    uint64_t first = 0, retries = 0;
    for (uint32_t i = 0; i < LB_BUDGET_SECONDS; i++) {
        first += budget->first[i];
        retries += budget->retries[i];
    }
    if (retries * 100 >= first * percent + 100ull * LB_BUDGET_SECONDS * per_second) return false;
    budget->retries[place]++;
    return true;
}

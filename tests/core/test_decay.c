/* decay: against exp(-x) to 32 digits, its bound over the whole range, and the same bits on every machine. */
#include "check.h"

#include "base/decay.h"
#include "base/rng.h"

#include <math.h>

#define SEED 20240613u

/* exp(-x) = high + low, computed with 80 decimal digits. */
static const struct { double x, high, low; } known[] = {
    {0x1.56e1fc2f8f359p-997, 0x1.0000000000000p+0, 0x0.0p+0},
    {0x1.0000000000000p-60, 0x1.0000000000000p+0, -0x1.0000000000000p-60},
    {0x1.0000000000000p-53, 0x1.fffffffffffffp-1, 0x1.0000000000000p-107},
    {0x1.19799812dea11p-40, 0x1.fffffffffdcd1p-1, -0x1.9812de0651eb3p-56},
    {0x1.12e0be826d695p-30, 0x1.fffffff768fa1p-1, -0x1.003e3b2b92095p-55},
    {0x1.0c6f7a0b5ed8dp-20, 0x1.ffffde7211d81p-1, -0x1.2496a0458dfe4p-56},
    {0x1.0000000000000p-10, 0x1.ff800ffeaac00p-1, -0x1.1105b0c308f0ap-57},
    {0x1.47ae147ae147bp-8, 0x1.fd7246927d28bp-1, -0x1.e233f6e961df8p-58},
    {0x1.62e42fefa39efp-8, 0x1.fd3c22b8f71f1p-1, 0x1.3c031d02a5050p-58},
    {0x1.9f767c482c9b0p-8, 0x1.fcc3b3dca139dp-1, -0x1.e3df222c1631fp-57},
    {0x1.bde5c08b791f7p-8, 0x1.fc873b654e0e9p-1, -0x1.d909a7aa62c27p-55},
    {0x1.62e42fefa39efp-7, 0x1.fa7c1819e90d8p-1, 0x1.7b21f80e9c2fdp-56},
    {0x1.cb91ce3618240p-7, 0x1.f8de8d7827c94p-1, 0x1.000a3483149c5p-55},
    {0x1.f1446bfaeda86p-7, 0x1.f849f282a4c56p-1, -0x1.c78f15196467cp-56},
    {0x1.1111111111111p-6, 0x1.f78992056d459p-1, -0x1.29dad9deb155fp-59},
    {0x1.bd69fe34dd719p-6, 0x1.f244b00dfdf9dp-1, 0x1.6159304bb6fb3p-57},
    {0x1.ec1d7db0f6162p-6, 0x1.f0d99dbea70f7p-1, -0x1.0a2d5a75eb10ap-55},
    {0x1.076ce2fae421cp-5, 0x1.efcc3d92f50b8p-1, -0x1.0ca5c91cddc76p-55},
    {0x1.77330bd8d4a70p-5, 0x1.e91435b485071p-1, -0x1.3778e23b5dff3p-55},
    {0x1.a6233241a8c82p-4, 0x1.cddc627d195fap-1, -0x1.252d7f4e7b96ap-55},
    {0x1.f17fd367f83d4p-4, 0x1.c570db8557626p-1, 0x1.bd96f859ff7fdp-57},
    {0x1.1cfb10ebe5bb2p-3, 0x1.bd7d55c3dc82ep-1, 0x1.a4c41ff137933p-57},
    {0x1.e6a16a2504ed1p-3, 0x1.93b75670fc956p-1, 0x1.958abf371d718p-56},
    {0x1.3f1f65ac2f2b4p-2, 0x1.76e88538e76d1p-1, 0x1.4936922593800p-58},
    {0x1.6d3c324e13f50p-2, 0x1.6666666666666p-1, -0x1.f27d408f1fc91p-59},
    {0x1.7814e8bbca4e2p-2, 0x1.629fadf5ab4dap-1, -0x1.e227a77498c2cp-57},
    {0x1.0000000000000p-1, 0x1.368b2fc6f960ap-1, -0x1.85314b9559e64p-61},
    {0x1.62e42fefa39efp-1, 0x1.0000000000000p-1, 0x1.abc9e3b39803fp-57},
    {0x1.8b33e963435fdp-1, 0x1.d93c12b212086p-2, 0x1.1455a1fe385afp-56},
    {0x1.92edcf47fa846p-1, 0x1.d225a72ff51ebp-2, 0x1.a3f266e644ba2p-56},
    {0x1.0000000000000p+0, 0x1.78b56362cef38p-2, -0x1.ca8a4270fadf5p-57},
    {0x1.035b739765db6p+0, 0x1.73ccf2577b93cp-2, -0x1.36ca458f57161p-56},
    {0x1.377b9aad0f92cp+0, 0x1.2f4e523450e35p-2, 0x1.e936614af718ap-58},
    {0x1.0000000000000p+1, 0x1.152aaa3bf81ccp-3, -0x1.809224547b4bfp-57},
    {0x1.478c2805d3905p+1, 0x1.3cf7db9122e9bp-4, -0x1.b1aac30accde6p-58},
    {0x1.8000000000000p+1, 0x1.97db0ccceb0afp-5, -0x1.b5becfe6e37bfp-60},
    {0x1.ea959c3bc2399p+1, 0x1.62bc0bf48fbe7p-6, 0x1.08c35e96ae8c8p-60},
    {0x1.28dbd25861b16p+2, 0x1.3cf6ffe15a39ap-7, -0x1.756e515fb3eecp-61},
    {0x1.c406954c76454p+2, 0x1.c0f141fff6a40p-11, -0x1.b866f28610848p-65},
    {0x1.238642f3c60d2p+3, 0x1.cfa2ae5d4e4fep-14, -0x1.25002e5c79fe9p-71},
    {0x1.4000000000000p+3, 0x1.7cd79b5647c9bp-15, -0x1.8e936e2abd9dep-69},
    {0x1.cc11d3424d43cp+3, 0x1.3227be08a2600p-21, 0x1.128b77e20cc0fp-75},
    {0x1.206f5c643b512p+4, 0x1.fd433322db8c1p-27, -0x1.b51c24e6fecb9p-81},
    {0x1.9e115e4e3c180p+4, 0x1.95aa7a1edd818p-38, -0x1.e2ef3ab1cc45dp-94},
    {0x1.0074513f1d631p+5, 0x1.af151a92ba6d5p-47, -0x1.57ea16c833760p-104},
    {0x1.df1461a02b867p+5, 0x1.852ceb9ccae29p-87, -0x1.e1d087488885fp-141},
    {0x1.0000000000000p+6, 0x1.969d47321e4ccp-93, -0x1.5034b5fe3da71p-147},
    {0x1.359eeef8c1479p+6, 0x1.415335a1e7dfbp-112, 0x1.59450762d45f5p-166},
    {0x1.3729c61eb95c7p+6, 0x1.b5090ac80b691p-113, 0x1.80bb171be353bp-168},
    {0x1.9000000000000p+6, 0x1.a8c1f14e2af5dp-145, -0x1.43089bb228e2cp-199},
    {0x1.df561d8553d74p+7, 0x1.2ca368d5fb802p-346, 0x1.cceadaeead5d4p-400},
    {0x1.fb7ff3254eb22p+7, 0x1.e321e65cc5d96p-367, -0x1.f77b29945685ap-421},
    {0x1.4a0fe74a096e9p+8, 0x1.c442d646ec278p-477, -0x1.753d55162efeap-531},
    {0x1.5900000000000p+8, 0x1.34bb5fd56a155p-498, 0x1.869928a78dd19p-552},
    {0x1.f400000000000p+8, 0x1.9265e78d4438dp-722, 0x1.e718f4ebe34a6p-781},
    {0x1.f6236be65d4d2p+8, 0x1.7b5f5264f0952p-725, 0x1.900e1f17e9b94p-780},
    {0x1.5d80000000000p+9, 0x1.78694fe9f73ccp-1009, 0x0.0000000000829p-1022},
    {0x1.5dffdf3b645a2p+9, 0x1.1539a02031560p-1010, -0x0.00000000000bap-1022},
    {0x1.5e00000000000p+9, 0x1.14f2b0fb9307fp-1010, 0x0.00000000000acp-1022},
};

static void decay_is_within_its_bound(void) {
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        double error = (lb_decay(known[i].x) - known[i].high) - known[i].low;      /* both differences are exact */
        CHECK(fabs(error) < 3e-16 * known[i].high);
    }
}

/* exp(-x - y) = exp(-x) exp(-y): three values, each within its bound, x and y chosen so that the sum is exact. */
static void decay_turns_sums_into_products_over_the_whole_range(void) {
    lb_rng rng;
    lb_rng_seed(&rng, SEED);
    for (int i = 0; i < 200000; i++) {
        double x = ldexp((double)(lb_rng_next(&rng) >> 40), -24 + i % 9);           /* below 256 */
        double y = ldexp((double)(lb_rng_next(&rng) >> 40), -24 + i % 9);
        double both = lb_decay(x + y), product = lb_decay(x) * lb_decay(y);
        CHECK(fabs(both - product) <= 1.1e-15 * both);
    }
}

static void decay_never_rises(void) {
    double before = 1;
    for (int i = 1; i < 400000; i++) {
        double now = lb_decay(i * 0.002);
        CHECK(now < before || (now == 0 && before == 0));
        before = now;
    }
}

static void decay_has_two_ends(void) {
    CHECK(lb_decay(0) == 1 && lb_decay(-0.0) == 1 && lb_decay(-5) == 1);
    CHECK(lb_decay((double)NAN) == 1 && lb_decay(-(double)INFINITY) == 1);
    CHECK(lb_decay(1e-300) == 1);
    CHECK(lb_decay(700) > 0 && lb_decay(nextafter(700, 701)) == 0 && lb_decay((double)INFINITY) == 0);
}

static uint64_t bits(double value) {
    uint64_t word;
    memcpy(&word, &value, sizeof word);
    return word;
}

static void decay_has_the_same_bits_on_every_machine(void) {
    static const struct { double x; uint64_t bits; } fixed[] = {
        {1e-09, 0x3FEFFFFFFF768FA1},
        {0.016666666666666666, 0x3FEF78992056D458},
        {0.35, 0x3FE68CCE09671F72},
        {1.0, 0x3FD78B56362CEF38},
        {3.7, 0x3F99511FC6871044},
        {42.0, 0x3C2536452EE2F75C},
        {699.5, 0x00DC89C2E339B391},
    };
    for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++) CHECK(bits(lb_decay(fixed[i].x)) == fixed[i].bits);
    uint64_t digest = 0xCBF29CE484222325u;
    for (int i = 0; i < 100000; i++) digest = (digest ^ bits(lb_decay(i * (1.0 / 128) * 0.89))) * 0x100000001B3u;
    CHECK(digest == 0x3FFA3AD7647E5EBFu);
}

static void decay_between_ages_nothing_when_a_clock_goes_back(void) {
    CHECK(lb_decay_between(5, 5, 1e-9) == 1 && lb_decay_between(6, 5, 1e-9) == 1);
    CHECK(lb_decay_between(0, 1000000000, 1e-9) == lb_decay(1));
    CHECK(lb_decay_between(0, UINT64_MAX, 1e-9) == 0);
}

int main(void) {
    printf("seed %u\n", SEED);
    RUN(decay_is_within_its_bound);
    RUN(decay_turns_sums_into_products_over_the_whole_range);
    RUN(decay_never_rises);
    RUN(decay_has_two_ends);
    RUN(decay_has_the_same_bits_on_every_machine);
    RUN(decay_between_ages_nothing_when_a_clock_goes_back);
    return check_result();
}

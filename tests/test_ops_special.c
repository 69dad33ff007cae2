/* test_ops_special.c: special functions over their range, by mpmath; special values, derivatives, errors. */
#include "tests/common.h"

/* ---- over the range -------------------------------------------------------------------------------------- */

/* Values: mpmath, 80 digits. The operands are numbers of f32. */
static const struct {
    ad_special_kind kind;
    int n;
    double a, x, y;
} points[] = {
    { AD_ERFCX, 0, 0, -20, 1.04429393795282879e+174 }, { AD_ERFCX, 0, 0, -3, 16205.9888539995866 },
    { AD_ERFCX, 0, 0, 0.0010000000474974513, 0.998872620027651162 }, { AD_ERFCX, 0, 0, 1.5, 0.321585416454317502 },
    { AD_ERFCX, 0, 0, 4.75, 0.116302707210247308 }, { AD_ERFCX, 0, 0, 5.25, 0.105612735468891802 },
    { AD_ERFCX, 0, 0, 40, 0.0141003359833778136 }, { AD_ERFCX, 0, 0, 100000000, 5.64189583547756259e-9 },
    { AD_ERFCX, 1, 0, -2, 218.445998363503701 }, { AD_ERFCX, 1, 0, 0.25, 0.371602946615007101 },
    { AD_ERFCX, 1, 0, 1.125, 0.119029244050635898 }, { AD_ERFCX, 1, 0, 9, 0.00342006720778412963 },
    { AD_ERFCX, 1, 0, 100, 0.0000282052488129965924 }, { AD_ERFCX, 4, 0, 0.5, 0.00776064522597007437 },
    { AD_ERFCX, 4, 0, 3, 0.0000764399407735503496 }, { AD_ERFCX, 4, 0, 50, 1.12500347963757044e-10 },
    { AD_NDTRI, 0, 0, 1.0000000031710769e-30, -11.464024688169063 },
    { AD_NDTRI, 0, 0, 9.9999997171806854e-10, -5.99780701960163743 },
    { AD_NDTRI, 0, 0, 0.125, -1.15034938037600818 }, { AD_NDTRI, 0, 0, 0.23999999463558197, -0.706302580096056054 },
    { AD_NDTRI, 0, 0, 0.25999999046325684, -0.643345434794168355 },
    { AD_NDTRI, 0, 0, 0.74000000953674316, 0.643345434794168355 },
    { AD_NDTRI, 0, 0, 0.75999999046325684, 0.706302532162810468 },
    { AD_NDTRI, 0, 0, 0.99900001287460327, 3.09023612984910527 },
    { AD_BESSEL_J, 0, 0, 9.9999999747524271e-07, 0.99999999999975 },
    { AD_BESSEL_J, 0, 0, 0.5, 0.938469807240812904 },
    { AD_BESSEL_J, 0, 0, 2.4000000953674316, 0.00250763368851178345 },
    { AD_BESSEL_J, 0, 0, 30, -0.0863679835810402113 }, { AD_BESSEL_J, 0, 0, 1000, 0.0247866861524201746 },
    { AD_BESSEL_J, 1, 0, 9.9999999747524271e-07, 4.99999998737558854e-7 },
    { AD_BESSEL_J, 1, 0, 0.5, 0.242268457674873886 },
    { AD_BESSEL_J, 1, 0, 3.7999999523162842, 0.0128210222829995837 },
    { AD_BESSEL_J, 1, 0, 30, -0.118751062616622937 }, { AD_BESSEL_J, 1, 0, -7.25, -0.0685817006531317445 },
    { AD_BESSEL_J, 3, 0, 0.5, 0.00256372999458724408 }, { AD_BESSEL_J, 3, 0, 12, 0.195136939531092677 },
    { AD_BESSEL_Y, 0, 0, 9.9999999747524271e-07, -8.86903148326675412 },
    { AD_BESSEL_Y, 0, 0, 0.5, -0.444518733506706557 },
    { AD_BESSEL_Y, 0, 0, 0.89999997615814209, 0.0056282858182453452 },
    { AD_BESSEL_Y, 0, 0, 30, -0.117295731686664025 }, { AD_BESSEL_Y, 0, 0, 1000, 0.0047159179776228134 },
    { AD_BESSEL_Y, 1, 0, 9.9999999747524271e-07, -636619.77397948543 },
    { AD_BESSEL_Y, 1, 0, 0.5, -1.47147239267024307 },
    { AD_BESSEL_Y, 1, 0, 2.2000000476837158, 0.00148781409044590945 },
    { AD_BESSEL_Y, 1, 0, 30, 0.0844255706617472349 }, { AD_BESSEL_Y, 3, 0, 0.5, -42.0594943047238827 },
    { AD_BESSEL_Y, 3, 0, 12, 0.129006143680078303 }, { AD_BESSEL_I, 0, 0, 9.9999999747524271e-07, 1.00000000000025 },
    { AD_BESSEL_I, 0, 0, 0.5, 1.06348337074132352 }, { AD_BESSEL_I, 0, 0, 1.9900000095367432, 2.26375295496968517 },
    { AD_BESSEL_I, 0, 0, 2.0099999904632568, 2.29556607711156535 }, { AD_BESSEL_I, 0, 0, 12, 18948.9253492963089 },
    { AD_BESSEL_I, 0, 0, 23.899999618530273, 1966392566.72514951 },
    { AD_BESSEL_I, 0, 0, 24.100000381469727, 2391664087.3474087 },
    { AD_BESSEL_I, 0, 0, 88, 7.03401969732230378e+36 }, { AD_BESSEL_I, 0, 0, -5, 27.2398718236044469 },
    { AD_BESSEL_I, 1, 0, 9.9999999747524271e-07, 4.99999998737683854e-7 },
    { AD_BESSEL_I, 1, 0, 0.5, 0.257894305390896316 }, { AD_BESSEL_I, 1, 0, 1.9900000095367432, 1.57585630755351442 },
    { AD_BESSEL_I, 1, 0, 2.0099999904632568, 1.60554201863090467 }, { AD_BESSEL_I, 1, 0, 12, 18141.3487816388316 },
    { AD_BESSEL_I, 1, 0, 23.899999618530273, 1924805036.2911901 },
    { AD_BESSEL_I, 1, 0, 24.100000381469727, 2341506898.40160056 },
    { AD_BESSEL_I, 1, 0, 88, 6.9939388227902535e+36 }, { AD_BESSEL_I, 1, 0, -5, -24.3356421424505272 },
    { AD_BESSEL_I, 5, 0, 0.5, 8.22317131310926396e-6 }, { AD_BESSEL_I, 5, 0, 20, 23018392.2134136707 },
    { AD_BESSEL_I, 5, 0, 60, 4.77776520725617212e+24 }, { AD_BESSEL_I_SCALED, 0, 0, 0.5, 0.645035270449150068 },
    { AD_BESSEL_I_SCALED, 0, 0, 2.0099999904632568, 0.307579859220156489 },
    { AD_BESSEL_I_SCALED, 0, 0, 24.100000381469727, 0.0816964156634207535 },
    { AD_BESSEL_I_SCALED, 0, 0, 10000, 0.00398947267460473211 },
    { AD_BESSEL_I_SCALED, 0, 0, -5, 0.183540812609328353 }, { AD_BESSEL_I_SCALED, 1, 0, 0.5, 0.156420803184871697 },
    { AD_BESSEL_I_SCALED, 1, 0, 2.0099999904632568, 0.215124449253019298 },
    { AD_BESSEL_I_SCALED, 1, 0, 24.100000381469727, 0.0799831054296369671 },
    { AD_BESSEL_I_SCALED, 1, 0, 10000, 0.00398927319598366226 },
    { AD_BESSEL_I_SCALED, 1, 0, -5, -0.163972266944542357 },
    { AD_BESSEL_I_SCALED, 5, 0, 0.5, 4.98760552147016394e-6 },
    { AD_BESSEL_I_SCALED, 5, 0, 20, 0.0474444424933890804 }, { AD_BESSEL_I_SCALED, 5, 0, 60, 0.0418365524589756423 },
    { AD_BESSEL_K, 0, 0, 9.9999999747524271e-07, 13.9314420761511767 },
    { AD_BESSEL_K, 0, 0, 0.5, 0.924419071227665862 },
    { AD_BESSEL_K, 0, 0, 0.99000000953674316, 0.427095025140796629 },
    { AD_BESSEL_K, 0, 0, 1.0099999904632568, 0.41505614972880691 }, { AD_BESSEL_K, 0, 0, 5, 0.00369109833404259427 },
    { AD_BESSEL_K, 0, 0, 20, 5.74123781533652429e-10 }, { AD_BESSEL_K, 0, 0, 50, 3.41016774978949551e-23 },
    { AD_BESSEL_K, 0, 0, 80, 2.52511984250547182e-36 },
    { AD_BESSEL_K, 1, 0, 9.9999999747524271e-07, 1000000.00251754158 },
    { AD_BESSEL_K, 1, 0, 0.5, 1.65644112000330089 },
    { AD_BESSEL_K, 1, 0, 0.99000000953674316, 0.612248968028294314 },
    { AD_BESSEL_K, 1, 0, 1.0099999904632568, 0.591788187519107397 },
    { AD_BESSEL_K, 1, 0, 5, 0.00404461344545216421 }, { AD_BESSEL_K, 1, 0, 20, 5.88305796955703818e-10 },
    { AD_BESSEL_K, 1, 0, 50, 3.44410222671755561e-23 }, { AD_BESSEL_K, 1, 0, 80, 2.54085312752117001e-36 },
    { AD_BESSEL_K, 4, 0, 0.5, 752.245097910403946 }, { AD_BESSEL_K, 4, 0, 2, 2.19591592741195832 },
    { AD_BESSEL_K, 4, 0, 20, 8.47423361989687325e-10 },
    { AD_BESSEL_K_SCALED, 0, 0, 9.9999999747524271e-07, 13.9314560076001834 },
    { AD_BESSEL_K_SCALED, 0, 0, 0.99000000953674316, 1.14941286558944196 },
    { AD_BESSEL_K_SCALED, 0, 0, 1.0099999904632568, 1.13957857511655728 },
    { AD_BESSEL_K_SCALED, 0, 0, 20, 0.278544876657182224 }, { AD_BESSEL_K_SCALED, 0, 0, 400, 0.0626461512995781138 },
    { AD_BESSEL_K_SCALED, 0, 0, 1000000, 0.00125331398065132121 },
    { AD_BESSEL_K_SCALED, 1, 0, 9.9999999747524271e-07, 1000001.00251804157 },
    { AD_BESSEL_K_SCALED, 1, 0, 0.99000000953674316, 1.64770554413175151 },
    { AD_BESSEL_K_SCALED, 1, 0, 1.0099999904632568, 1.62481423283204648 },
    { AD_BESSEL_K_SCALED, 1, 0, 20, 0.285425496940726445 }, { AD_BESSEL_K_SCALED, 1, 0, 400, 0.0627244101682771652 },
    { AD_BESSEL_K_SCALED, 1, 0, 1000000, 0.00125331460730815487 },
    { AD_BESSEL_K_SCALED, 4, 0, 0.5, 1240.24249370478351 }, { AD_BESSEL_K_SCALED, 4, 0, 20, 0.411140321014548094 },
    { AD_AIRY, 0, 0, 0, 0.355028053887817239 }, { AD_AIRY, 0, 0, -0.99000000953674316, 0.535432590891200732 },
    { AD_AIRY, 0, 0, 0.99000000953674316, 0.136890657715270884 },
    { AD_AIRY, 0, 0, -1.0099999904632568, 0.535635620136693806 },
    { AD_AIRY, 0, 0, 1.0099999904632568, 0.13370770397381602 }, { AD_AIRY, 0, 0, 4, 0.000951563851204801874 },
    { AD_AIRY, 0, 0, 10, 1.10475325528986859e-10 }, { AD_AIRY, 0, 0, -5, 0.35076100902411432 },
    { AD_AIRY, 0, 0, -20.5, -0.0446256803970119098 }, { AD_AIRY, 0, 0, -1000, 0.0559718957730199188 },
    { AD_AIRY, 1, 0, 0, -0.258819403792806798 }, { AD_AIRY, 1, 0, -0.99000000953674316, -0.0154887998439752754 },
    { AD_AIRY, 1, 0, 0.99000000953674316, -0.160501526258916827 },
    { AD_AIRY, 1, 0, -1.0099999904632568, -0.00477776414201240658 },
    { AD_AIRY, 1, 0, 1.0099999904632568, -0.157795741514268848 }, { AD_AIRY, 1, 0, 4, -0.0019586409502041789 },
    { AD_AIRY, 1, 0, 10, -3.52063367673892364e-10 }, { AD_AIRY, 1, 0, -5, 0.327192818554443137 },
    { AD_AIRY, 1, 0, -20.5, -1.1839330197051475 }, { AD_AIRY, 1, 0, -1000, 2.63307101952412873 },
    { AD_ZETA, 0, 2, 1, 1.64493406684822644 }, { AD_ZETA, 0, 1.0010000467300415, 0.5, 1001.91813617562907 },
    { AD_ZETA, 0, 1.5, 0.0010000000474974513, 31625.384713910015 },
    { AD_ZETA, 0, 3, -0.40000000596046448, -10.6435833916523659 },
    { AD_ZETA, 0, 2, -7.3000001907348633, 14.9513700548506714 }, { AD_ZETA, 0, 30, 0.75, 5599.66567228051317 },
    { AD_ZETA, 0, 12, 400, 2.1973929593707456e-30 }, { AD_ZETA, 0, 60, 33, 9.31851493916476675e-92 },
    { AD_GAMMAINC, 0, 0.5, 0.10000000149011612, 0.345279156386980382 },
    { AD_GAMMAINC, 0, 0.0099999997764825821, 2, 0.999503335474054455 },
    { AD_GAMMAINC, 0, 5, 4.5, 0.467896423625284522 }, { AD_GAMMAINC, 0, 5, 20, 0.999983055256069933 },
    { AD_GAMMAINC, 0, 40, 8, 6.7807213593102315e-16 }, { AD_GAMMAINC, 0, 1000, 1010, 0.627678944736994728 },
    { AD_GAMMAINC, 0, 99999, 99800, 0.264785818697479452 }, { AD_GAMMAINC, 0, 200000, 200100, 0.58874384517613018 },
    { AD_GAMMAINC, 0, 3000000, 2999000, 0.281894756612677578 },
    { AD_GAMMAINCC, 0, 0.5, 0.10000000149011612, 0.654720843613019618 },
    { AD_GAMMAINCC, 0, 0.0099999997764825821, 2, 0.000496664525945544803 },
    { AD_GAMMAINCC, 0, 0.0099999997764825821, 9.9999997473787516e-05, 0.0827856513661566934 },
    { AD_GAMMAINCC, 0, 0.89999997615814209, 1.3999999761581421, 0.212982598298143603 },
    { AD_GAMMAINCC, 0, 0.89999997615814209, 1.6000000238418579, 0.17280277730999517 },
    { AD_GAMMAINCC, 0, 5, 4.5, 0.532103576374715478 }, { AD_GAMMAINCC, 0, 5, 40, 5.02046431882913335e-13 },
    { AD_GAMMAINCC, 0, 40, 80, 2.80872162604209594e-7 }, { AD_GAMMAINCC, 0, 1000, 1010, 0.372321055263005272 },
    { AD_GAMMAINCC, 0, 99999, 99800, 0.735214181302520548 },
    { AD_GAMMAINCC, 0, 200000, 200100, 0.41125615482386982 },
    { AD_GAMMAINCC, 0, 3000000, 3001000, 0.281808103433406341 },
    { AD_GAMMA_DENSITY, 0, 0.5, 0.10000000149011612, 1.61434224428201747 },
    { AD_GAMMA_DENSITY, 0, 5, 4.5, 0.189807620540124409 }, { AD_GAMMA_DENSITY, 0, 14, 30, 0.00023958605573551599 },
    { AD_GAMMA_DENSITY, 0, 16, 30, 0.00102679738172363996 },
    { AD_GAMMA_DENSITY, 0, 1000, 1010, 0.0118845150360351101 },
    { AD_GAMMA_DENSITY, 0, 200000, 200100, 0.000869609047964433554 },
};

static double call(int i, ad_dtype t, ad_graph *g) {
    ad_var *x = ad_scalar(g, t, points[i].x);
    if (points[i].kind < AD_ZETA) return ad_item(ad_special(x, points[i].kind, points[i].n));
    return ad_item(ad_special_pair(ad_scalar(g, t, points[i].a), x, points[i].kind));
}

/* In units of f64. Where a value is the exponential of a large number, it has the rounding errors of that number;
   beside a zero of J, Y and Ai the error is one of their amplitude. */
static double bound_of(int i) {
    double y = fabs(points[i].y);
    bool is_exponential = points[i].kind >= AD_GAMMAINC && (points[i].a > 30 || y < 1e-3);
    bool has_zeros = points[i].kind == AD_BESSEL_J || points[i].kind == AD_BESSEL_Y || points[i].kind == AD_AIRY;
    return (is_exponential ? 300 : 20) * 2.2e-16 * (has_zeros && y < 0.1 && points[i].x < 4 ? 0.1 : y);
}

static void over_their_range(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    for (int i = 0; i < COUNT(points); i++) {
        double y = points[i].y, in_f64 = call(i, AD_F64, g), in_f32 = call(i, AD_F32, g);
        if (fabs(in_f64 - y) > bound_of(i))
            fail_msg("function %d of order %d at %.9g, %.9g: %.17g, not %.17g", (int)points[i].kind, points[i].n,
                     points[i].a, points[i].x, in_f64, y);
        if (fabs(in_f32 - (double)(float)y) > 1.3e-7 * fabs(y) + 1.5e-45)
            fail_msg("function %d at %.9g in f32: %.9g, not %.9g", (int)points[i].kind, points[i].x, in_f32, y);
    }
    assert_ok(g);
    ad_graph_free(g);
}

/* ---- special values -------------------------------------------------------------------------------------- */

/* Value and slope; the limits of the functions. */
static void special_values(void **state) {
    (void)state;
    static const struct {
        const char *name;
        ad_var *(*f)(ad_var *);
        double x, y, slope;
    } at[] = {
        { "erfcx", ad_erfcx, INFINITY, 0, 0 },
        { "erfcx", ad_erfcx, -INFINITY, INFINITY, -INFINITY },
        { "erfcx", ad_erfcx, -1e200, INFINITY, -INFINITY },
        { "erfcx", ad_erfcx, 1e200, 5.6418958354775628e-201, 0 },
        { "erfcx", ad_erfcx, 0, 1, -1.1283791670955126 },
        { "ndtri", ad_ndtri, 0, -INFINITY, INFINITY },
        { "ndtri", ad_ndtri, 1, INFINITY, INFINITY },
        { "ndtri", ad_ndtri, 0.5, 0, 2.5066282746310005 },
        { "ndtri", ad_ndtri, -0.1, NAN, NAN },
        { "bessel_j0", ad_bessel_j0, 0, 1, 0 },
        { "bessel_j1", ad_bessel_j1, 0, 0, 0.5 },
        { "bessel_j0", ad_bessel_j0, INFINITY, 0, 0 },
        { "bessel_y0", ad_bessel_y0, 0, -INFINITY, INFINITY },
        { "bessel_y1", ad_bessel_y1, 0, -INFINITY, INFINITY },
        { "bessel_y0", ad_bessel_y0, -1, NAN, NAN },
        { "bessel_y1", ad_bessel_y1, INFINITY, 0, 0 },
        { "i0", ad_i0, 0, 1, 0 },
        { "i1", ad_i1, 0, 0, 0.5 },
        { "i0", ad_i0, INFINITY, INFINITY, INFINITY },
        { "i1", ad_i1, -INFINITY, -INFINITY, INFINITY },
        { "i0e", ad_i0e, 0, 1, 0 },
        { "i1e", ad_i1e, 0, 0, 0.5 },
        { "i0e", ad_i0e, INFINITY, 0, 0 },
        { "k0", ad_modified_bessel_k0, 0, INFINITY, -INFINITY },
        { "k1", ad_modified_bessel_k1, 0, INFINITY, -INFINITY },
        { "k1", ad_modified_bessel_k1, INFINITY, 0, 0 },
        { "k0", ad_modified_bessel_k0, -1, NAN, NAN },
        { "scaled k0", ad_scaled_modified_bessel_k0, INFINITY, 0, 0 },
        { "airy_ai", ad_airy_ai, INFINITY, 0, 0 },
        { "airy_ai", ad_airy_ai, -INFINITY, 0, NAN },
        { "spherical_bessel_j0", ad_spherical_bessel_j0, 0, 1, 0 },
        { "spherical_bessel_j0", ad_spherical_bessel_j0, INFINITY, 0, 0 },
        { "log_ndtr", ad_log_ndtr, INFINITY, 0, 0 },
        { "log_ndtr", ad_log_ndtr, -1e10, -5e19, 1e10 },
        { "log_ndtr", ad_log_ndtr, NAN, NAN, NAN },
        { "bessel_j1", ad_bessel_j1, NAN, NAN, NAN },
        { "i0", ad_i0, NAN, NAN, NAN },
        { "airy_ai", ad_airy_ai, NAN, NAN, NAN },
    };
    for (int i = 0; i < COUNT(at); i++) {
        ad_graph *g = ad_graph_new();
        ad_var *x = ad_param(g, AD_F64, &at[i].x, AD_SCALAR), *y = at[i].f(x);
        ad_backward(y);
        assert_ok(g);
        assert_close_in(at[i].name, ad_item(y), at[i].y, 1e-15);
        assert_close_in(at[i].name, ad_grad_item(x), at[i].slope, 1e-15);
        ad_graph_free(g);
    }
}

/* Of two numbers; conventions of PyTorch. */
static void special_values_of_pairs(void **state) {
    (void)state;
    static const struct {
        ad_special_kind kind;
        double a, x, y;
    } at[] = {
        { AD_ZETA, 1, 3, INFINITY },       { AD_ZETA, 0.5, 3, NAN },          { AD_ZETA, 2, 0, INFINITY },
        { AD_ZETA, 2, -3, INFINITY },      { AD_ZETA, 2.5, -0.5, NAN },       { AD_ZETA, 3, -1e200, INFINITY },
        { AD_ZETA, NAN, 1, NAN },          { AD_ZETA, 1e200, 1, 1 },          { AD_ZETA, 1e200, 2, 0 },
        { AD_GAMMAINC, 0, 1, 1 },          { AD_GAMMAINC, 1, 0, 0 },          { AD_GAMMAINC, 0, 0, NAN },
        { AD_GAMMAINC, -1, 1, NAN },       { AD_GAMMAINC, 1, -1, NAN },       { AD_GAMMAINC, 2, INFINITY, 1 },
        { AD_GAMMAINC, INFINITY, 2, 0 },   { AD_GAMMAINC, NAN, 2, NAN },      { AD_GAMMAINC, 1e300, 1e299, 0 },
        { AD_GAMMAINCC, 0, 1, 0 },         { AD_GAMMAINCC, 1, 0, 1 },         { AD_GAMMAINCC, 0, 0, NAN },
        { AD_GAMMAINCC, 2, INFINITY, 0 },  { AD_GAMMAINCC, INFINITY, 2, 1 },  { AD_GAMMAINCC, 1e300, 1e299, 1 },
        { AD_GAMMA_DENSITY, 0.5, 0, INFINITY }, { AD_GAMMA_DENSITY, 1, 0, 1 }, { AD_GAMMA_DENSITY, 3, 0, 0 },
    };
    ad_graph *g = ad_graph_new();
    for (int i = 0; i < COUNT(at); i++) {
        char name[64];
        snprintf(name, sizeof name, "function %d at %g, %g", (int)at[i].kind, at[i].a, at[i].x);
        ad_var *y = ad_special_pair(ad_scalar(g, AD_F64, at[i].a), ad_scalar(g, AD_F64, at[i].x), at[i].kind);
        assert_close_in(name, ad_item(y), at[i].y, 1e-15);
    }
    ad_graph_free(g);
}

/* ---- derivatives ----------------------------------------------------------------------------------------- */

/* Bessel's and Airy's equations hold between value, first and second slope: x^2 y'' + x y' = c y. */
static void equations_hold(void **state) {
    (void)state;
    static const struct {
        ad_special_kind kind;
        int n, sign;
    } of[] = { { AD_BESSEL_J, 0, -1 }, { AD_BESSEL_J, 3, -1 }, { AD_BESSEL_Y, 0, -1 }, { AD_BESSEL_Y, 1, -1 },
               { AD_BESSEL_I, 0, 1 },  { AD_BESSEL_I, 1, 1 },  { AD_BESSEL_K, 0, 1 },  { AD_BESSEL_K, 2, 1 } };
    const double at[] = { 0.3, 1.7, 5.5, 13, 26 };
    for (int i = 0; i < COUNT(of); i++) {
        ad_graph *g = ad_graph_new();
        ad_var *x = ad_param(g, AD_F64, at, AD_SHAPE(COUNT(at))), *y = ad_special(x, of[i].kind, of[i].n), *d, *dd;
        assert_int_equal(ad_gradient(ad_sum(y), 1, &x, &d), AD_OK);
        assert_int_equal(ad_gradient(ad_sum(d), 1, &x, &dd), AD_OK);
        ad_var *left = ad_add(ad_mul(ad_square(x), dd), ad_mul(x, d));
        ad_var *factor = ad_adds(ad_muls(ad_square(x), of[i].sign), of[i].n * of[i].n);
        ad_var *right = ad_mul(factor, y), *size = ad_add(ad_abs(right), ad_abs(ad_mul(x, d)));
        for (int k = 0; k < COUNT(at); k++)
            assert_close_in("Bessel's equation", (ad_at(left, k) - ad_at(right, k)) / ad_at(size, k), 0, 1e-12);
        ad_graph_free(g);
    }
}

/* The slope of ndtri is one over the density, and the functions are inverse to each other. */
static void ndtri_inverts_ndtr(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    const double at[] = { -37, -20, -5, -1, -0.2, 0, 0.6, 0.8, 3 };
    ad_var *x = ad_param(g, AD_F64, at, AD_SHAPE(COUNT(at))), *back = ad_ndtri(ad_ndtr(x));
    ad_backward(ad_sum(back));
    for (int k = 0; k < COUNT(at); k++) {
        assert_close(ad_at(back, k), at[k], 1e-13);
        assert_close(ad_grad_at(x, k), 1, 1e-12);
    }
    ad_graph_free(g);
}

/* ---- errors ---------------------------------------------------------------------------------------------- */

static void bad_operands(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_ones(g, AD_F64, AD_SHAPE(2)), *p = ad_param(g, AD_F64, NULL, AD_SHAPE(2));
    assert_fails(g, ad_special(x, AD_BESSEL_J, -1), AD_EVALUE, "special: [2]: order -1 is not one of 0..32");
    assert_fails(g, ad_special(x, AD_AIRY, 2), AD_EVALUE, "order 2 is not one of 0..1");
    assert_fails(g, ad_special(x, AD_NDTRI, 1), AD_EVALUE, "order 1 is not one of 0..0");
    assert_fails(g, ad_special(x, AD_ZETA, 0), AD_EVALUE, "9 is no function of one number");
    assert_fails(g, ad_special_pair(x, x, AD_AIRY), AD_EVALUE, "8 is no function of two numbers");
    assert_fails(g, ad_special_pair(x, ad_ones(g, AD_F64, AD_SHAPE(3)), AD_ZETA), AD_ESHAPE, "one shape");
    assert_fails(g, ad_zeta(x, ad_ones(g, AD_F64, AD_SHAPE(3))), AD_ESHAPE, "zeta: [2] x [3]");
    assert_fails(g, ad_gammainc(p, x), AD_EGRAD, "special_pair: [2]");
    assert_fails(g, ad_gammaincc(x, ad_ones(g, AD_F32, AD_SHAPE(2))), AD_EDTYPE, "gammaincc");
    assert_false(ad_is_nil(ad_zeta(x, p)));
    assert_true(ad_is_nil(ad_log_ndtr(NULL)) || ad_log_ndtr(NULL) == NULL);
    ad_graph_free(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(over_their_range),   cmocka_unit_test(special_values),
        cmocka_unit_test(special_values_of_pairs), cmocka_unit_test(equations_hold),
        cmocka_unit_test(ndtri_inverts_ndtr), cmocka_unit_test(bad_operands),
    };
    return cmocka_run_group_tests_name("special functions", tests, NULL, NULL);
}

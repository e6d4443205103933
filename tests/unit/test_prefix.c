/* The prefix cache: examples of each answer, no memory, and thousands of random steps of several sessions beside a plain list of what is
 * known. */
#include "support/timelines.h"

#include "support/fault.h"

/* ---- examples */

static void each_answer_has_its_reason(void **state)
{
    (void)state;
    qw_prefix *p = new_prefix(SIZE_MAX);
    expect(p, line(0, 0), 50, 49, 0, 0, QW_PREFIX_EMPTY);
    learn(p, line(0, 0), 700, QW_CHECKPOINT_TURN);
    learn(p, line(0, 0), 1100, QW_CHECKPOINT_END);
    expect(p, line(0, 0), 700, 700, 700, 700, QW_PREFIX_NONE);
    expect(p, line(0, 0), 1300, 1299, 1100, 1100, QW_PREFIX_NONE); /* goes on where it ended */
    expect(p, line(0, 0), 1000, 999, 1000, 700, QW_PREFIX_NO_CHECKPOINT);
    expect(p, line(0, 0), 700, 699, 700, 0, QW_PREFIX_NO_CHECKPOINT); /* one token must be computed */
    expect(p, line(900, 1), 1300, 1299, 900, 700, QW_PREFIX_DIFFERS);
    expect(p, line(0, 1), 1300, 1299, 0, 0, QW_PREFIX_DIFFERS);
    expect(p, line(1100, 1), 1300, 1299, 1100, 1100, QW_PREFIX_NONE);
    expect(p, line(0, 0), 0, 0, 0, 0, QW_PREFIX_NONE);

    learn(p, line(700, 1), 1300, QW_CHECKPOINT_TURN);
    expect(p, line(700, 1), 1300, 1300, 1300, 1300, QW_PREFIX_NONE);
    expect(p, line(700, 2), 1300, 1300, 700, 700, QW_PREFIX_DIFFERS);
    expect(p, line(0, 0), 1100, 1100, 1100, 1100, QW_PREFIX_NONE);
    const qw_prefix_stats s = qw_prefix_statistics(p);
    assert_int_equal(s.n_nodes, 3);
    assert_int_equal(s.n_checkpoints, 3);
    assert_int_equal(s.hits, 8);
    assert_int_equal(s.misses, 4);
    qw_prefix_free(p);
    qw_prefix_free(NULL);
    assert_int_equal(qw_page_live_bytes(), 0);
}

static void sessions_share_pages(void **state)
{
    (void)state;
    qw_prefix *p = new_prefix(SIZE_MAX);
    const size_t one = page_cost();
    fake *a = fake_new(), *b = fake_new();
    fake_eval(a, line(0, 0), 600);
    assert_int_equal(fake_insert(a, p, 600, QW_CHECKPOINT_TURN, NULL), QWREN_OK);
    fake_eval(a, line(0, 0), 700); /* writes on in the page that is known */
    assert_int_equal(fake_insert(a, p, 700, QW_CHECKPOINT_TURN, NULL), QWREN_OK);
    assert_int_equal(qw_page_live_bytes(), 2 * one);
    fake_find(b, p, line(600, 1), 1000, 1000);
    assert_int_equal(qw_page_live_bytes(), 2 * one);
    fake_eval(b, line(600, 1), 1000); /* one page of its own */
    assert_int_equal(qw_page_live_bytes(), 3 * one);
    check_pages(&a->shape, a->keys, 700, a->pages);
    check_pages(&b->shape, b->keys, 1000, b->pages);
    fake_drop(a);
    fake_drop(b);
    assert_int_equal(qw_page_live_bytes(), 2 * one);
    fake_find(a, p, line(700, 2), 900, 900);
    assert_int_equal(a->n, 700);
    fake_eval(a, line(700, 2), 900); /* nobody writes there any more: no copy */
    assert_int_equal(qw_page_live_bytes(), 2 * one);
    fake_find(b, p, line(700, 3), 900, 900);
    fake_eval(b, line(700, 3), 900);
    assert_int_equal(qw_page_live_bytes(), 3 * one);
    qw_prefix_free(p);
    check_pages(&a->shape, a->keys, 900, a->pages); /* what is dropped lives on with who uses it */
    check_pages(&b->shape, b->keys, 900, b->pages);
    fake_free(a);
    fake_free(b);
    assert_int_equal(qw_page_live_bytes(), 0);
}

static void thousands_of_children_are_found(void **state)
{
    (void)state;
    qw_prefix *p = new_prefix(SIZE_MAX);
    fake *s = fake_new();
    uint64_t keys[3] = { 7, 0, 1 };
    for (uint64_t i = 0; i < 5000; i++) {
        keys[1] = i * 2654435761U % 5000;
        fake_eval(s, keys, 3);
        assert_int_equal(fake_insert(s, p, 3, QW_CHECKPOINT_TURN, NULL), QWREN_OK);
        fake_drop(s);
    }
    assert_int_equal(qw_prefix_statistics(p).n_nodes, 5001);
    for (keys[1] = 0; keys[1] < 5000; keys[1]++)
        assert_int_equal(fake_find(s, p, keys, 3, 3).length, 3);
    fake_free(s);
    qw_prefix_free(p);
    assert_int_equal(qw_page_live_bytes(), 0);
}

/* ---- a plain list of what is known, from qw_prefix_each() */

typedef struct known {
    uint64_t *keys;
    size_t n;
    qw_checkpoint *checkpoint; /* only to compare */
    bool saved;
} known;

typedef struct list {
    known *items;
    size_t n, room;
    size_t stop_at; /* items after which the walk ends; 0: never */
} list;

static void list_add(list *l, const uint64_t *keys, size_t n, qw_checkpoint *checkpoint, bool saved)
{
    if (l->n == l->room) {
        l->room = l->room ? 2 * l->room : 16;
        l->items = realloc(l->items, l->room * sizeof *l->items);
        assert_non_null(l->items);
    }
    known *k = &l->items[l->n++];
    *k = (known){ malloc(n * sizeof *keys), n, checkpoint, saved };
    assert_non_null(k->keys);
    memcpy(k->keys, keys, n * sizeof *keys);
}

static void list_free(list *l)
{
    for (size_t i = 0; i < l->n; i++)
        free(l->items[i].keys);
    free(l->items);
}

static bool list_item(void *ctx, const qw_prefix_item *item)
{
    static qw_page_shape shape;
    list *l = ctx;
    shape = small_shape();
    check_checkpoint(item->checkpoint, item->keys, item->checkpoint->length);
    assert_int_equal(item->n_pages, qw_page_count(item->checkpoint->length));
    check_pages(&shape, item->keys, item->checkpoint->length, item->pages);
    list_add(l, item->keys, item->checkpoint->length, item->checkpoint, item->saved);
    return l->n != l->stop_at;
}

static list list_of(qw_prefix *p)
{
    list l = { 0 };
    assert_int_equal(qw_prefix_each(p, false, list_item, &l, NULL), QWREN_OK);
    return l;
}

static qw_prefix_match expected(const list *l, const uint64_t *keys, size_t n, size_t most)
{
    qw_prefix_match m = { 0 };
    bool ends = false;
    for (size_t i = 0; i < l->n; i++) {
        const size_t common = common_keys(l->items[i].keys, l->items[i].n, keys, n);
        if (common > m.n_common) {
            m.n_common = common;
            ends = true;
        }
        if (common == m.n_common && l->items[i].n > common)
            ends = false;
        if (common == l->items[i].n && common <= most && common > m.length)
            m.length = common;
    }
    m.why = m.length == most                               ? QW_PREFIX_NONE
            : !l->n                                        ? QW_PREFIX_EMPTY
            : m.n_common < n && m.n_common < most && !ends ? QW_PREFIX_DIFFERS
            : m.length == m.n_common                       ? QW_PREFIX_NONE
                                                           : QW_PREFIX_NO_CHECKPOINT;
    return m;
}

static int by_keys(const void *a, const void *b)
{
    const known *x = a, *y = b;
    const size_t common = common_keys(x->keys, x->n, y->keys, y->n);
    if (common == x->n || common == y->n)
        return (x->n > y->n) - (x->n < y->n);
    return x->keys[common] < y->keys[common] ? -1 : 1;
}

/* Keys of a tree of these timelines; reorders them. */
static size_t different_keys(list *l)
{
    size_t n = 0;
    if (l->n)
        qsort(l->items, l->n, sizeof *l->items, by_keys);
    for (size_t i = 0; i < l->n; i++)
        n += l->items[i].n - (i ? common_keys(l->items[i - 1].keys, l->items[i - 1].n, l->items[i].keys, l->items[i].n) : 0);
    return n;
}

/* ---- figures and the walk */

/* The figures are those of what is there. */
static void check_statistics(qw_prefix *p, size_t budget)
{
    list l = list_of(p);
    const qw_prefix_stats s = qw_prefix_statistics(p);
    assert_true(s.bytes <= budget);
    assert_int_equal(s.budget_bytes, budget);
    assert_int_equal(s.n_checkpoints, l.n);
    assert_true(l.n ? s.n_nodes < 2 * l.n : !s.n_nodes);
    assert_int_equal(s.bytes, s.n_idle_pages * small_shape().bytes + l.n * cost_of_checkpoint() + different_keys(&l) * sizeof(uint64_t));
    list_free(&l);
}

static void the_walk_meets_all_in_order(void **state)
{
    (void)state;
    qw_prefix *p = new_prefix(SIZE_MAX);
    for (uint64_t i = 0; i < 6; i++)
        learn(p, line(400 * (i % 3), i), 600 + 10 * i, QW_CHECKPOINT_TURN);
    list l = list_of(p);
    assert_int_equal(l.n, 6);
    for (size_t i = 0; i < 6; i++)
        assert_memory_equal(l.items[i].keys, line(400 * (i % 3), i), (600 + 10 * i) * sizeof(uint64_t));
    qw_prefix_mark_saved(p, l.items[1].checkpoint);
    qw_prefix_mark_saved(p, l.items[4].checkpoint);
    list unsaved = { 0 }, all, some = { .stop_at = 2 };
    assert_int_equal(qw_prefix_each(p, true, list_item, &unsaved, NULL), QWREN_OK);
    assert_int_equal(unsaved.n, 4);
    assert_ptr_equal(unsaved.items[1].checkpoint, l.items[2].checkpoint);
    assert_int_equal(qw_prefix_each(p, true, list_item, &some, NULL), QWREN_OK);
    assert_int_equal(some.n, 2);
    learn(p, line(400, 1), 610, QW_CHECKPOINT_TURN); /* known: the mark stays */
    learn(p, line(500, 8), 700, QW_CHECKPOINT_TURN); /* parts a run */
    all = list_of(p);
    assert_int_equal(all.n, 7);
    for (size_t i = 0; i < 7; i++)
        assert_int_equal(all.items[i].saved, i == 1 || i == 4);
    list_free(&l);
    list_free(&unsaved);
    list_free(&some);
    list_free(&all);
    qw_prefix_free(p);
}

/* ---- random steps */

typedef struct world {
    qw_rng r;
    qw_prefix *p;
    size_t budget;
    list known; /* without a budget: all that was inserted, in order */
    fake *sessions[4];
    uint64_t keys[MAX_KEYS]; /* the newest timeline */
    size_t n;
} world;

static uint32_t below(world *w, size_t n) { return qw_rng_u32(&w->r) % (uint32_t)n; }

/* Another timeline: the beginning of what some session has, and something new. */
static void imagine(world *w)
{
    const fake *from = w->sessions[below(w, 4)];
    const size_t keep = below(w, 8) ? below(w, from->n + 1) : 0, room = MAX_KEYS - keep;
    memcpy(w->keys, from->keys, keep * sizeof *w->keys);
    w->n = keep + below(w, (below(w, 2) ? 30 : 600) < room ? (below(w, 2) ? 30 : 600) : room);
    w->n = w->n < MAX_KEYS ? w->n : MAX_KEYS;
    random_keys(&w->r, w->keys, keep, w->n, 2 + below(w, 3));
}

static void change_timeline(world *w, fake *s)
{
    imagine(w);
    const size_t most = below(w, 3) ? w->n : below(w, w->n + 1);
    list now = w->budget == SIZE_MAX ? w->known : list_of(w->p);
    const qw_prefix_match want = expected(&now, w->keys, w->n, most), got = fake_find(s, w->p, w->keys, w->n, most);
    if (got.n_common != want.n_common || got.length != want.length)
        fail_msg("%zu common, length %zu instead of %zu and %zu", got.n_common, got.length, want.n_common, want.length);
    if (got.why != want.why && !(got.why == QW_PREFIX_EVICTED && w->budget != SIZE_MAX && want.length < most))
        fail_msg("reason %d instead of %d", got.why, want.why);
    fake_eval(s, w->keys, w->n);
    if (w->budget != SIZE_MAX)
        list_free(&now);
    qw_prefix_trim(w->p);
}

static void make_known(world *w, fake *s)
{
    if (!s->n)
        return;
    const size_t n = below(w, 2) ? s->n : 1 + below(w, s->n);
    list before = w->budget == SIZE_MAX ? w->known : list_of(w->p);
    const qw_prefix_match was = expected(&before, s->keys, n, n);
    assert_int_equal(fake_insert(s, w->p, n, (qw_checkpoint_kind)below(w, QW_CHECKPOINT_KINDS), NULL), QWREN_OK);
    if (w->budget != SIZE_MAX)
        list_free(&before);
    else if (was.length != n)
        list_add(&w->known, s->keys, n, NULL, false);
    if (cost(n) <= w->budget || was.length == n) { /* the newest is there */
        list now = list_of(w->p);
        assert_int_equal(expected(&now, s->keys, n, n).length, n);
        list_free(&now);
    }
}

static void step(world *w)
{
    fake *s = w->sessions[below(w, 4)];
    switch (below(w, 8)) {
    case 0:
    case 1:
    case 2: change_timeline(w, s); break;
    case 3:
        fake_rewind(s, below(w, s->n + 1));
        qw_prefix_trim(w->p);
        break;
    case 4: /* goes on with its own */
        memcpy(w->keys, s->keys, s->n * sizeof *w->keys);
        w->n = s->n + below(w, 40) < MAX_KEYS ? s->n + below(w, 40) : MAX_KEYS;
        w->n = w->n < s->n ? s->n : w->n;
        random_keys(&w->r, w->keys, s->n, w->n, 3);
        fake_eval(s, w->keys, w->n);
        qw_prefix_trim(w->p); /* it may have copied a page and dropped it */
        break;
    default: make_known(w, s); break;
    }
    const bool look_at_all = below(w, 4) == 0;
    for (size_t i = 0; i < 4 && look_at_all; i++) /* nobody wrote into what another one has */
        check_pages(&w->sessions[i]->shape, w->sessions[i]->keys, w->sessions[i]->n, w->sessions[i]->pages);
}

static void run_world(uint64_t seed, size_t budget, size_t n_steps)
{
    world w = { .p = new_prefix(budget), .budget = budget };
    qw_rng_seed(&w.r, seed);
    for (size_t i = 0; i < 4; i++)
        w.sessions[i] = fake_new();
    for (size_t i = 0; i < n_steps; i++) {
        step(&w);
        if (i % 16 == 0)
            check_statistics(w.p, budget);
    }
    check_statistics(w.p, budget);
    list now = list_of(w.p);
    if (budget == SIZE_MAX) {
        assert_int_equal(now.n, w.known.n);
        for (size_t i = 0; i < now.n; i++)
            assert_memory_equal(now.items[i].keys, w.known.items[i].keys, now.items[i].n * sizeof(uint64_t));
    }
    for (size_t i = 0; i < 4; i++)
        fake_free(w.sessions[i]);
    qw_prefix_trim(w.p);
    assert_int_equal(qw_page_live_bytes(), qw_prefix_statistics(w.p).n_pages * page_cost());
    assert_int_equal(qw_prefix_statistics(w.p).n_pages, qw_prefix_statistics(w.p).n_idle_pages);
    list_free(&now);
    list_free(&w.known);
    qw_prefix_free(w.p);
    assert_int_equal(qw_page_live_bytes(), 0);
}

static void it_finds_what_a_plain_list_finds(void **state)
{
    (void)state;
    fault_install();
    for (uint64_t seed = 1; seed <= 4; seed++)
        run_world(seed, SIZE_MAX, 400);
    fault_remove();
}

static void a_budget_changes_only_how_much_is_found(void **state)
{
    (void)state;
    fault_install();
    for (uint64_t seed = 1; seed <= 6; seed++)
        run_world(seed, cost(100) * (seed * seed), 600);
    fault_remove();
}

/* ---- too little memory */

typedef struct attempt {
    qw_prefix *p;
    fake *s;
    size_t n;
} attempt;

/* Everything that can be known of the cache from outside. */
static void expect_same(qw_prefix *p, const list *before, const qw_prefix_stats *s)
{
    list now = list_of(p);
    const qw_prefix_stats t = qw_prefix_statistics(p);
    assert_int_equal(now.n, before->n);
    for (size_t i = 0; i < now.n; i++) {
        assert_ptr_equal(now.items[i].checkpoint, before->items[i].checkpoint);
        assert_memory_equal(now.items[i].keys, before->items[i].keys, now.items[i].n * sizeof(uint64_t));
    }
    assert_memory_equal(&t, s, sizeof t);
    list_free(&now);
}

/* A cache and a session before the step of this number: what it will insert, and with how many allocations. */
static const struct {
    size_t length, n_allocations;
} stages[] = {
    { 700, 5 },  /* a branch: a node of four pieces, and room for a child */
    { 300, 1 },  /* a checkpoint within it */
    { 1400, 3 }, /* further on, each list longer */
    { 1300, 9 }, /* parts the run: two nodes, and room for both */
    { 1300, 0 }, /* known */
};

static void go_to_stage(qw_prefix *p, fake *s, size_t stage)
{
    const uint64_t *keys = line(0, 0);
    fake_eval(s, keys, 700);
    for (size_t i = 0; i <= stage; i++) {
        if (i == 2)
            fake_eval(s, keys, 1400);
        if (i == 3) {
            keys = line(1200, 1);
            fake_find(s, p, keys, 1300, 1300);
            fake_eval(s, keys, 1300);
        }
        if (i < stage)
            assert_int_equal(fake_insert(s, p, stages[i].length, QW_CHECKPOINT_TURN, NULL), QWREN_OK);
    }
}

/* Inserts with the n-th allocation failing, in a cache of its own. False: there are not so many. */
static bool insert_without(size_t stage, size_t n)
{
    qw_prefix *p = new_prefix(SIZE_MAX);
    fake *s = fake_new();
    go_to_stage(p, s, stage);
    list before = list_of(p);
    const qw_prefix_stats stats = qw_prefix_statistics(p);
    qw_checkpoint *cp = fake_checkpoint(s->keys, stages[stage].length, QW_CHECKPOINT_TURN);
    qwren_error err = { 0 };
    fault_fail_at(n);
    const qwren_status st = qw_prefix_insert(p, s->keys, s->pages, cp, &err);
    fault_fail_at(0);
    if (st != QWREN_OK) {
        assert_int_equal(st, QWREN_E_MEMORY);
        assert_non_null(strstr(err.text, "memory"));
        expect_same(p, &before, &stats);
        assert_int_equal(qw_prefix_insert(p, s->keys, s->pages, cp, &err), QWREN_OK); /* and then it works */
    }
    s->claimed = false;
    check_statistics(p, SIZE_MAX);
    assert_int_equal(fake_find(s, p, line(stage < 3 ? 1400 : 1200, 1), stages[stage].length, MAX_KEYS).length, stages[stage].length);
    qw_checkpoint_drop(cp);
    list_free(&before);
    fake_free(s);
    qw_prefix_free(p);
    return st != QWREN_OK;
}

static void without_memory_nothing_changes(void **state)
{
    (void)state;
    fault_install();
    for (size_t i = 0; i < sizeof stages / sizeof *stages; i++) {
        size_t n = 0;
        while (insert_without(i, n + 1))
            n++;
        if (n != stages[i].n_allocations)
            fail_msg("stage %zu: %zu allocations instead of %zu", i, n, stages[i].n_allocations);
    }
    fault_remove();
}

static bool look(void *ctx, const qw_prefix_item *item)
{
    (void)ctx;
    return item->n_pages > 0;
}

static qwren_status walk(void *ctx, qwren_error *err) { return qw_prefix_each(ctx, false, look, NULL, err); }

static qwren_status create(void *ctx, qwren_error *err)
{
    (void)ctx;
    const qw_page_shape shape = small_shape();
    qw_prefix *p;
    const qwren_status st = qw_prefix_create(&p, &shape, &(qw_prefix_options){ 1 }, err);
    qw_prefix_free(p);
    return st;
}

static void a_walk_without_memory_says_so(void **state)
{
    (void)state;
    fault_install();
    qw_prefix *p = new_prefix(SIZE_MAX);
    learn(p, line(0, 0), 700, QW_CHECKPOINT_TURN);
    learn(p, line(0, 0), 900, QW_CHECKPOINT_TURN);
    assert_int_equal(fault_try_all(walk, p, 1), 5);
    assert_int_equal(fault_try_all(create, NULL, 1), 1);
    qw_prefix_free(p);
    fault_remove();
}

/* Dropping needs no memory: nodes that cannot become one for lack of it stay two. */
static void dropping_works_without_memory(void **state)
{
    (void)state;
    fault_install();
    for (uint64_t seed = 1; seed <= 15; seed++) {
        world w = { .budget = 3 * cost(1200) };
        w.p = new_prefix(w.budget);
        qw_rng_seed(&w.r, seed);
        for (size_t i = 0; i < 4; i++)
            w.sessions[i] = fake_new();
        for (size_t i = 0; i < 60; i++) {
            fake *s = w.sessions[below(&w, 4)];
            imagine(&w);
            fake_find(s, w.p, w.keys, w.n, w.n);
            fake_eval(s, w.keys, w.n);
            qw_prefix_trim(w.p);
            if (!s->n)
                continue;
            qw_checkpoint *cp = fake_checkpoint(s->keys, s->n, QW_CHECKPOINT_TURN);
            fault_fail_at(1 + below(&w, 12));
            qw_prefix_insert(w.p, s->keys, s->pages, cp, NULL);
            fault_fail_at(0);
            s->claimed = false;
            qw_checkpoint_drop(cp);
            assert_true(qw_prefix_statistics(w.p).bytes <= w.budget);
            list now = list_of(w.p);
            assert_int_equal(now.n, qw_prefix_statistics(w.p).n_checkpoints);
            list_free(&now);
        }
        for (size_t i = 0; i < 4; i++)
            fake_free(w.sessions[i]);
        qw_prefix_free(w.p);
    }
    fault_remove();
    assert_int_equal(qw_page_live_bytes(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_answer_has_its_reason),       cmocka_unit_test(sessions_share_pages),
        cmocka_unit_test(thousands_of_children_are_found),  cmocka_unit_test(the_walk_meets_all_in_order),
        cmocka_unit_test(it_finds_what_a_plain_list_finds), cmocka_unit_test(a_budget_changes_only_how_much_is_found),
        cmocka_unit_test(without_memory_nothing_changes),   cmocka_unit_test(a_walk_without_memory_says_so),
        cmocka_unit_test(dropping_works_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

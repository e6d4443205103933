/* The radix tree of the prefix cache: finding a place, putting a checkpoint in. Taking one out is prefix_prune.c. Tested by tests/unit/test_prefix.c.
 *
 *   keys  0 ............ 700 ....... 1100        A: system prompt, two turns, with checkpoints at 700 and 1100
 *                         `......... 1300        B: the same system prompt, another turn
 *
 * is a node of the run 0 - 700 with two children. Page 1 (positions 512 - 1023) is held by all three nodes: the first has A's or B's, whichever came first, and each child its own. */
#include "runtime/prefix_tree.h"

#include "base/alloc.h"

#include <string.h>

/* ---- finding */

/* The number of the first child whose first key is not less than this one. */
size_t qw_prefix_child_index(const qw_prefix_node *node, uint64_t key)
{
    size_t low = 0, high = node->n_children;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (node->children[middle]->keys[0] < key)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static qw_prefix_node *child_of(const qw_prefix_node *node, uint64_t key)
{
    const size_t i = qw_prefix_child_index(node, key);
    return i < node->n_children && node->children[i]->keys[0] == key ? node->children[i] : NULL;
}

qw_prefix_place qw_prefix_walk(qw_prefix_tree *t, const uint64_t *keys, size_t n)
{
    qw_prefix_place place = { &t->root, 0 };
    while (place.at < n && place.at == qw_prefix_end(place.node)) {
        qw_prefix_node *child = child_of(place.node, keys[place.at]);
        if (!child)
            break;
        const size_t most = n - place.at < child->n_keys ? n - place.at : child->n_keys;
        size_t k = 1;
        while (k < most && child->keys[k] == keys[place.at + k])
            k++;
        place = (qw_prefix_place){ child, place.at + k };
    }
    return place;
}

/* How many of the node's checkpoints are at <= length. */
static size_t kept_until(const qw_prefix_node *node, size_t length)
{
    size_t n = node->n_kept;
    while (n && node->kept[n - 1].length > length)
        n--;
    return n;
}

qw_prefix_kept *qw_prefix_nearest(qw_prefix_place place, size_t most, qw_prefix_node **node)
{
    const size_t length = place.at < most ? place.at : most;
    for (*node = place.node; *node; *node = (*node)->parent) {
        const size_t n = kept_until(*node, length);
        if (n)
            return &(*node)->kept[n - 1];
    }
    return NULL;
}

qw_prefix_kept *qw_prefix_kept_at(const qw_prefix_node *node, size_t length) { return &node->kept[kept_until(node, length) - 1]; }

void qw_prefix_pages(const qw_prefix_node *node, size_t length, qw_page **pages)
{
    for (size_t end = qw_page_count(length); end; node = node->parent) {
        const size_t first = node->begin / QW_KV_PAGE;
        for (size_t i = first; i < end; i++)
            pages[i] = node->pages[i - first];
        end = first;
    }
}

void qw_prefix_keys(const qw_prefix_node *node, size_t length, uint64_t *keys)
{
    for (; node->parent; length = node->begin, node = node->parent)
        memcpy(keys + node->begin, node->keys, (length - node->begin) * sizeof *keys);
}

uint64_t qw_prefix_hash_at(const qw_prefix_node *node, size_t length)
{
    uint64_t hash = node->hash;
    for (size_t i = 0; i < length - node->begin; i++)
        hash = qw_prefix_hash(hash, node->keys[i]);
    return hash;
}

/* ---- memory of nodes */

/* `array` with room for `want` (at least 1); NULL when memory is short, then it is as it was. What grows grows by a quarter at least, so that adding one at a time costs little. */
static void *grown(void *array, size_t *room, size_t want, size_t size)
{
    if (want <= *room)
        return array;
    const size_t more = *room + *room / 4 > want ? *room + *room / 4 : want;
    void *p = qw_realloc_array(array, more, size);
    if (p)
        *room = more;
    return p;
}

bool qw_prefix_reserve(qw_prefix_node *node, size_t n_keys, size_t n_pages, size_t n_kept)
{
    uint64_t *keys = grown(node->keys, &node->room_keys, n_keys, sizeof *keys);
    node->keys = keys ? keys : node->keys;
    qw_page **pages = grown(node->pages, &node->room_pages, n_pages, sizeof *pages);
    node->pages = pages ? pages : node->pages;
    qw_prefix_kept *kept = grown(node->kept, &node->room_kept, n_kept, sizeof *kept);
    node->kept = kept ? kept : node->kept;
    return keys && pages && kept;
}

static bool reserve_child(qw_prefix_node *node)
{
    qw_prefix_node **children = grown(node->children, &node->room_children, node->n_children + 1, sizeof(qw_prefix_node *));
    node->children = children ? children : node->children;
    return children;
}

void qw_prefix_node_free(qw_prefix_node *node)
{
    if (node->previous)
        node->previous->next = node->next;
    if (node->next)
        node->next->previous = node->previous;
    qw_free(node->keys);
    qw_free(node->pages);
    qw_free(node->kept);
    qw_free(node->children);
    qw_free(node);
}

/* A node without a run, for one that has so many keys, below `begin` keys of the way to `parent`. NULL when memory is short. */
static qw_prefix_node *new_node(qw_prefix_node *parent, size_t begin, size_t n_keys, size_t n_kept)
{
    qw_prefix_node *node = qw_calloc(1, sizeof *node);
    if (!node)
        return NULL;
    node->parent = parent;
    node->begin = begin;
    node->hash = qw_prefix_hash_at(parent, begin);
    if (qw_prefix_reserve(node, n_keys, qw_page_count(begin + n_keys) - begin / QW_KV_PAGE, n_kept))
        return node;
    qw_prefix_node_free(node);
    return NULL;
}

/* ---- what the tree holds */

size_t qw_prefix_tree_bytes(const qw_prefix_tree *t) { return t->bytes + qw_page_account_now(&t->pages).n_idle * t->page_bytes; }

/* The run grows by keys [n]; pages are those that hold their positions, the first of them also what stands before in it. Others rely on these from now on. There is room. */
static void extend(qw_prefix_tree *t, qw_prefix_node *node, const uint64_t *keys, size_t n, qw_page *const *pages)
{
    const size_t from = qw_prefix_end(node), first = from / QW_KV_PAGE, before = node->begin / QW_KV_PAGE, end = qw_page_count(from + n);
    memcpy(node->keys + node->n_keys, keys, n * sizeof *keys);
    for (size_t i = first; i < end; i++) {
        const size_t frozen = from + n - i * QW_KV_PAGE;
        qw_page_freeze(pages[i - first], frozen < QW_KV_PAGE ? frozen : QW_KV_PAGE);
        qw_page_share(pages[i - first], &t->pages);
        if (i < before + node->n_pages) /* of a page that was held already, the longer one remains */
            qw_page_unshare(node->pages[i - before], &t->pages);
        node->pages[i - before] = pages[i - first];
    }
    node->n_keys += n;
    node->n_pages = end - before;
    t->bytes += n * sizeof *keys;
}

void qw_prefix_truncate(qw_prefix_tree *t, qw_prefix_node *node, size_t n_keys)
{
    const size_t n_pages = n_keys ? qw_page_count(node->begin + n_keys) - node->begin / QW_KV_PAGE : 0;
    while (node->n_pages > n_pages)
        qw_page_unshare(node->pages[--node->n_pages], &t->pages);
    t->bytes -= (node->n_keys - n_keys) * sizeof *node->keys;
    node->n_keys = n_keys;
}

void qw_prefix_move_kept(qw_prefix_node *node, const qw_prefix_kept *kept, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        node->kept[node->n_kept++] = kept[i];
        kept[i].checkpoint->place = node;
    }
}

/* There is room, and no other at this length. */
static void add_kept(qw_prefix_tree *t, qw_prefix_node *node, const qw_prefix_kept *kept)
{
    const size_t at = kept_until(node, kept->length);
    memmove(node->kept + at + 1, node->kept + at, (node->n_kept - at) * sizeof *kept);
    node->kept[at] = *kept;
    node->n_kept++;
    kept->checkpoint->place = node;
    qw_checkpoint_hold(kept->checkpoint);
    t->bytes += kept->checkpoint->bytes;
    t->n_checkpoints++;
}

/* There is room. */
static void add_child(qw_prefix_tree *t, qw_prefix_node *parent, qw_prefix_node *child)
{
    const size_t at = qw_prefix_child_index(parent, child->keys[0]);
    memmove(parent->children + at + 1, parent->children + at, (parent->n_children - at) * sizeof(qw_prefix_node *));
    parent->children[at] = child;
    parent->n_children++;
    child->parent = parent;
    child->previous = &t->root;
    child->next = t->root.next;
    if (child->next)
        child->next->previous = child;
    t->root.next = child;
    t->n_nodes++;
}

/* ---- putting in */

/* The keys of the run behind `at` become a node of their own below it, with all that hangs there, and the node gets room for two children. False: memory is
 * short, and nothing has changed. */
static bool split(qw_prefix_tree *t, qw_prefix_node *node, size_t at)
{
    const size_t n_upper = kept_until(node, at), n_kept = node->n_kept - n_upper;
    qw_prefix_node **children = qw_alloc_array(2, sizeof(qw_prefix_node *));
    qw_prefix_node *lower = new_node(node, at, qw_prefix_end(node) - at, n_kept ? n_kept : 1);
    if (!children || !lower) {
        qw_free(children);
        if (lower)
            qw_prefix_node_free(lower);
        return false;
    }
    lower->children = node->children;
    lower->n_children = node->n_children;
    lower->room_children = node->room_children;
    for (size_t i = 0; i < lower->n_children; i++)
        lower->children[i]->parent = lower;
    qw_prefix_move_kept(lower, node->kept + n_upper, n_kept);
    extend(t, lower, node->keys + (at - node->begin), qw_prefix_end(node) - at, node->pages + (at / QW_KV_PAGE - node->begin / QW_KV_PAGE));
    qw_prefix_truncate(t, node, at - node->begin);
    node->n_kept = n_upper;
    node->children = children;
    node->n_children = 0;
    node->room_children = 2;
    add_child(t, node, lower);
    return true;
}

/* The timeline parts from what is known: a new node from there on. */
static bool put_branch(qw_prefix_tree *t, qw_prefix_place place, const uint64_t *keys, qw_page *const *pages, const qw_prefix_kept *kept)
{
    const bool within = place.at < qw_prefix_end(place.node);
    qw_prefix_node *leaf = new_node(place.node, place.at, kept->length - place.at, 1);
    if (!leaf)
        return false;
    if (!(within ? split(t, place.node, place.at) : reserve_child(place.node))) {
        qw_prefix_node_free(leaf);
        return false;
    }
    extend(t, leaf, keys + place.at, kept->length - place.at, pages + place.at / QW_KV_PAGE);
    add_child(t, place.node, leaf);
    add_kept(t, leaf, kept);
    return true;
}

/* It goes on where a known one ends. */
static bool put_further(qw_prefix_tree *t, qw_prefix_node *leaf, const uint64_t *keys, qw_page *const *pages, const qw_prefix_kept *kept)
{
    const size_t end = qw_prefix_end(leaf), length = kept->length;
    if (!qw_prefix_reserve(leaf, length - leaf->begin, qw_page_count(length) - leaf->begin / QW_KV_PAGE, leaf->n_kept + 1))
        return false;
    extend(t, leaf, keys + end, length - end, pages + end / QW_KV_PAGE);
    add_kept(t, leaf, kept);
    return true;
}

static bool put_within(qw_prefix_tree *t, qw_prefix_node *node, const qw_prefix_kept *kept)
{
    if (!qw_prefix_reserve(node, node->n_keys, node->n_pages, node->n_kept + 1))
        return false;
    add_kept(t, node, kept);
    return true;
}

bool qw_prefix_put(qw_prefix_tree *t, qw_prefix_place place, const uint64_t *keys, qw_page *const *pages, const qw_prefix_kept *kept)
{
    if (place.at == kept->length)
        return put_within(t, place.node, kept);
    if (place.node->parent && !place.node->n_children && place.at == qw_prefix_end(place.node))
        return put_further(t, place.node, keys, pages, kept);
    return put_branch(t, place, keys, pages, kept);
}

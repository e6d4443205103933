/* Taking checkpoints out of the radix tree of the prefix cache (prefix_tree.h): what leads to none any more is cut off, and a node whose one child remains becomes one with
 * it. Tested by tests/unit/test_prefix.c. */
#include "runtime/prefix_tree.h"

#include "base/alloc.h"

#include <string.h>

/* The node, which has neither keys nor children, goes. */
static void remove_node(qw_prefix_tree *t, qw_prefix_node *node, uint64_t first_key)
{
    qw_prefix_node *parent = node->parent;
    const size_t at = qw_prefix_child_index(parent, first_key);
    memmove(parent->children + at, parent->children + at + 1, (parent->n_children - at - 1) * sizeof(qw_prefix_node *));
    parent->n_children--;
    t->n_nodes--;
    qw_prefix_node_free(node);
}

/* The node and its only child become one, in the node's place. When there is no memory for it they remain two, which is as right. */
static void merge(qw_prefix_tree *t, qw_prefix_node *node)
{
    qw_prefix_node *child = node->children[0];
    const size_t shared = child->begin / QW_KV_PAGE - node->begin / QW_KV_PAGE; /* pages in front of the child's first */
    if (!qw_prefix_reserve(node, node->n_keys + child->n_keys, shared + child->n_pages, node->n_kept + child->n_kept + 1))
        return;
    if (shared < node->n_pages)
        qw_page_unshare(node->pages[shared], &t->pages);
    memcpy(node->pages + shared, child->pages, child->n_pages * sizeof *child->pages);
    memcpy(node->keys + node->n_keys, child->keys, child->n_keys * sizeof *child->keys);
    qw_prefix_move_kept(node, child->kept, child->n_kept);
    node->n_pages = shared + child->n_pages;
    node->n_keys += child->n_keys;
    qw_free(node->children);
    node->children = child->children;
    node->n_children = child->n_children;
    node->room_children = child->room_children;
    for (size_t i = 0; i < node->n_children; i++)
        node->children[i]->parent = node;
    child->children = NULL;
    t->n_nodes--;
    qw_prefix_node_free(child);
}

/* Cuts off what leads to no checkpoint, from the node upwards. */
static void prune(qw_prefix_tree *t, qw_prefix_node *node)
{
    while (node->parent && !node->n_children) {
        const size_t n_keys = node->n_kept ? node->kept[node->n_kept - 1].length - node->begin : 0;
        const uint64_t first_key = node->keys[0];
        qw_prefix_node *parent = node->parent;
        if (n_keys < node->n_keys)
            qw_prefix_truncate(t, node, n_keys);
        if (n_keys)
            return;
        remove_node(t, node, first_key);
        node = parent;
    }
    if (node->parent && node->n_children == 1)
        merge(t, node);
}

void qw_prefix_take(qw_prefix_tree *t, qw_prefix_node *node, qw_prefix_kept *kept)
{
    const size_t at = (size_t)(kept - node->kept);
    t->bytes -= kept->checkpoint->bytes;
    t->n_checkpoints--;
    kept->checkpoint->place = NULL;
    qw_checkpoint_drop(kept->checkpoint);
    memmove(kept, kept + 1, (node->n_kept - at - 1) * sizeof *kept);
    node->n_kept--;
    prune(t, node);
}

void qw_prefix_tree_free(qw_prefix_tree *t)
{
    while (t->root.next) {
        qw_prefix_node *node = t->root.next;
        for (size_t i = 0; i < node->n_kept; i++) {
            node->kept[i].checkpoint->place = NULL;
            qw_checkpoint_drop(node->kept[i].checkpoint);
        }
        qw_prefix_truncate(t, node, 0);
        qw_prefix_node_free(node);
    }
    qw_free(t->root.children);
}

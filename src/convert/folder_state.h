/* The parts of a qw_folder, for folder.c and folder_write.c alone. */
#ifndef QW_CONVERT_FOLDER_STATE_H
#define QW_CONVERT_FOLDER_STATE_H

#include "base/arena.h"
#include "base/dir.h"
#include "base/json.h"
#include "convert/folder.h"
#include "convert/journal.h"
#include "convert/place.h"
#include "convert/shards.h"

/* One checkpoint's weight files: the main one's, or the draft head's in mtp/. */
typedef struct qw_folder_files {
    qw_st_entry *entries;
    size_t n;
    uint64_t n_parameters;
    qw_shards *shards; /* NULL: no tensor belongs there */
} qw_folder_files;

typedef struct qw_folder_item {
    qw_folder_tensor t;
    qw_tensor source; /* t.source points here */
    qw_type float_type;
    qw_folder_files *files;
    size_t entry; /* of codes or floats; scales and biases are the next two */
    size_t n_entries;
    bool done;
    size_t line; /* of the journal, when done */
    uint64_t checksum;
} qw_folder_item;

struct qw_folder {
    qw_place place;
    qw_journal journal;
    qw_json *config;
    qw_folder_rules rules;
    qw_arena names;
    qw_folder_item *items;
    size_t n;
    int bits, group;
    qw_folder_files main, mtp;
    bool locked, finished;
    qw_names left; /* in SRC */
};

/* XXH64 of all bytes of the item in the files. */
qwren_status qw_folder_sum(const qw_folder_item *item, uint64_t *out, qwren_error *err);

#endif

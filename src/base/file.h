/* Files: read-only mappings, whole reads with a limit, and writes that are never half done. */
#ifndef QW_BASE_FILE_H
#define QW_BASE_FILE_H

#include "base/status.h"

/* A read-only mapping of a whole regular file. An empty file has data NULL and size 0. */
typedef struct qw_map {
    const uint8_t *data;
    size_t size;
    bool is_huge; /* a file of which the system reads and maps two megabytes at a time, where it can */
} qw_map;
/* Where one byte of a file of QW_MAP_HUGE bytes and more is touched, two megabytes come to memory. */
#define QW_MAP_HUGE ((size_t)32 << 20)
qwren_status qw_map_open(qw_map *out, const char *path, qwren_error *err);
/* Fresh memory of its own in the same form: zeros, in huge pages where the system gives them. *bytes is where it may be written. */
qwren_status qw_map_make(qw_map *out, uint8_t **bytes, size_t size, qwren_error *err);
void qw_map_close(qw_map *m); /* safe on a zeroed struct */
/* Bytes of a mapping that were read and are not needed for now: their pages leave this process's memory. Touched again they come back from the file. */
void qw_map_release(const void *p, size_t n);
/* A mapping that will soon be read, all of it: the system may begin to. */
void qw_map_expect(const qw_map *m);
/* Bytes of a mapping that must stay in memory until it is closed. E_LIMIT: the system does not let this process keep so much. */
qwren_status qw_map_lock(const void *p, size_t n, qwren_error *err);

/* Whole regular file into fresh memory (qw_free), NUL-terminated; larger than max_bytes is QWREN_E_LIMIT. */
qwren_status qw_file_read(const char *path, size_t max_bytes, char **out, size_t *len, qwren_error *err);
/* Whole stream (stdin) likewise; `name` is for the error text. */
qwren_status qw_file_read_stream(void *stdio_file, const char *name, size_t max_bytes, char **out, size_t *len, qwren_error *err);
bool qw_file_exists(const char *path); /* a regular file that can be read */
bool qw_dir_exists(const char *path);
bool qw_path_exists(const char *path);
/* Whether a regular file may be written there, new or in place of the one that is, as far as rights and folders tell. E_IO. */
qwren_status qw_file_check_place(const char *path, qwren_error *err);
bool qw_path_is_special(const char *path); /* a device, a pipe: there, but neither file nor folder */

/* Written beside the target as PATH.tmp-PID, renamed onto it by commit. Without commit, close removes the temporary file. */
typedef struct qw_writer qw_writer;
qwren_status qw_writer_open(qw_writer **out, const char *path, qwren_error *err);
qwren_status qw_writer_write(qw_writer *w, const void *p, size_t n, qwren_error *err);
qwren_status qw_writer_commit(qw_writer *w, qwren_error *err); /* flush, fsync, rename; the writer stays to be closed */
void qw_writer_close(qw_writer *w);                            /* NULL is allowed */

/* Brings what stands around byte `at` of an open file to the system's cache in a huge page, where it can: what is written there then lies in it, and not in many small
 * ones, which a mapping of the file would be slower to read as long as it stays in the cache. For a new file, of which nothing has to be read. */
void qw_file_make_page(int fd, uint64_t at);
/* All of that for a small file. */
qwren_status qw_file_write(const char *path, const void *bytes, size_t n, qwren_error *err);
/* Opens a file to be read and added to, which is made when it is not there, and waits until nobody else has it open so: until *fd is closed nobody adds to it, or puts
 * another in its place. E_IO, also for what is no regular file. Where a file system has no locks, it goes on without. */
qwren_status qw_file_open_locked(int *fd, const char *path, qwren_error *err);
/* Adds to the end of such a file. After a failure, or when the system stops, a beginning of the bytes may stand there. */
qwren_status qw_file_append(int fd, const char *path, const void *bytes, size_t n, qwren_error *err);

/* dir + "/" + name into fresh memory (qw_free), NULL when memory is short. */
char *qw_path_join(const char *dir, const char *name);
/* Part after the last '/'. */
const char *qw_path_base(const char *path);

#endif

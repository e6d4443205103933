/* .npy (npy.h): magic, version, header length, a Python dictionary filled up to 128 bytes, then the numbers. Tested by
 * tests/cli/arrays.sh. */
#include "npy.h"

#include "base/alloc.h"
#include "base/file.h"
#include "interrupt.h"
#include "output.h"

#include <stdio.h>
#include <string.h>

#define HEADER_BYTES 128
#define PIECE_BYTES ((size_t)4 << 20)

static void make_header(char header[HEADER_BYTES + 1], size_t rows, size_t columns)
{
    const uint16_t one = 1;
    bool little = *(const uint8_t *)&one == 1;
    memcpy(header, "\x93NUMPY\x01\x00\x76\x00", 10); /* 0x76 = 128 - 10 */
    snprintf(header + 10, HEADER_BYTES - 9, "{'descr': '%cf4', 'fortran_order': False, 'shape': (%zu, %zu), }", little ? '<' : '>', rows,
             columns);
    size_t n = 10 + strlen(header + 10);
    memset(header + n, ' ', HEADER_BYTES - n);
    header[HEADER_BYTES - 1] = '\n';
}

/* To the file; w NULL: to standard output, whose failures are told and counted by others. */
static qwren_status put(qw_writer *w, const void *p, size_t n, qwren_error *err)
{
    if (w)
        return qw_writer_write(w, p, n, err);
    cli_out_bytes(p, n);
    return QWREN_OK;
}

static qwren_status write_all(qw_writer *w, const char *path, const float *data, size_t rows, size_t columns, qwren_error *err)
{
    char header[HEADER_BYTES + 1];
    size_t left, cells;
    if (!qw_mul_size(rows, columns, &cells) || !qw_mul_size(cells, sizeof *data, &left))
        return qw_fail(err, QWREN_E_LIMIT, "%s: %zu x %zu numbers are more than this machine can count", path, rows, columns);
    make_header(header, rows, columns);
    QW_TRY(put(w, header, HEADER_BYTES, err));
    for (const char *p = (const char *)data; left && !cli_out_failed();) {
        size_t n = left < PIECE_BYTES ? left : PIECE_BYTES;
        if (cli_interrupted())
            return qw_fail(err, QWREN_E_CANCELLED, "%s: stopped", path);
        QW_TRY(put(w, p, n, err));
        p += n;
        left -= n;
    }
    return w ? qw_writer_commit(w, err) : QWREN_OK;
}

qwren_status cli_npy_write(const char *path, const float *data, size_t rows, size_t columns, qwren_error *err)
{
    qw_writer *w = NULL;
    bool to_stdout = strcmp(path, "-") == 0;
    cli_interrupt_catch();
    cli_ends_hold();
    qwren_status st = to_stdout ? cli_out_takes_bytes(err) : qw_writer_open(&w, path, err);
    if (st == QWREN_OK)
        st = write_all(w, path, data, rows, columns, err);
    qw_writer_close(w);
    cli_ends_pass();
    if (st == QWREN_E_IO && cli_interrupted()) /* a pipe that nobody reads waits, and the signal ends the wait with an error */
        st = qw_fail(err, QWREN_E_CANCELLED, "%s: stopped", path);
    return st;
}

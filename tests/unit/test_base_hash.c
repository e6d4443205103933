/* base/hash.c against values of the reference implementation of XXH64 (seed 0), over bytes i * 7 + 1. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/hash.h"

static void the_values_are_the_published_ones(void **state)
{
    (void)state;
    static const struct {
        size_t n;
        uint64_t value;
    } rows[] = {
        { 0, 0xef46db3751d8e999u },   { 1, 0x8a4127811b21e730u },    { 3, 0xb6e6c910c2fd373au },  { 4, 0x22eda2cf6af4c124u },
        { 7, 0x34084d91a233a751u },   { 8, 0xc6f1803a5e0b3222u },    { 14, 0xff34ee32a5c9ecfeu }, { 31, 0x6ab1c40e29f50073u },
        { 32, 0x5a0756fbe9ecd3d1u },  { 33, 0xdc50cdc37bb9c183u },   { 63, 0x10dd94885c71894au }, { 64, 0x90083da9cdb9d795u },
        { 100, 0xd248bfc5208b0b16u }, { 1000, 0x6be03acbf959c413u },
    };
    uint8_t bytes[1000];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 7 + 1);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(qw_hash_bytes(bytes, rows[i].n), rows[i].value);
    for (size_t piece = 1; piece < 80; piece++) {
        qw_hash h;
        qw_hash_init(&h);
        for (size_t at = 0; at < sizeof bytes; at += piece) {
            (void)qw_hash_value(&h); /* asking changes nothing */
            qw_hash_add(&h, bytes + at, sizeof bytes - at < piece ? sizeof bytes - at : piece);
        }
        assert_int_equal(qw_hash_value(&h), 0x6be03acbf959c413u);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(the_values_are_the_published_ones) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

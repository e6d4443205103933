/* Energy from /sys/class/powercap and /sys/class/power_supply (energy.h). Tested by tests/unit/test_base_energy.c on made-up machines. */
#include "base/energy.h"

#include "base/cgroup.h"
#include "base/clock.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static void add(qw_energy *e, qw_energy_source source, const char *folder)
{
    e->source = source;
    snprintf(e->folders[e->n++], sizeof e->folders[0], "%s", folder);
}

/* Zones of packages: a package's counter holds its cores and, on many, its memory. */
static void find_rapl(qw_energy *e)
{
    for (int i = 0; i < QW_ENERGY_MOST; i++) {
        char folder[96], name[128], text[32];
        snprintf(folder, sizeof folder, "sys/class/powercap/intel-rapl:%d", i);
        snprintf(name, sizeof name, "%s/name", folder);
        qw_system_text(text, sizeof text, e->root, name);
        if (strncmp(text, "package", 7) == 0 && qw_system_number(e->root, folder, "energy_uj", -1) >= 0)
            add(e, QW_ENERGY_RAPL, folder);
    }
}

/* Microwatts: said, or current times voltage, which are in millionths as well. */
static double battery_power(const char *root, const char *folder)
{
    const long long power = qw_system_number(root, folder, "power_now", -1), current = qw_system_number(root, folder, "current_now", -1),
                    voltage = qw_system_number(root, folder, "voltage_now", -1);
    if (power >= 0)
        return (double)power;
    return current >= 0 && voltage >= 0 ? (double)current * 1e-6 * (double)voltage : (double)NAN;
}

static void find_batteries(qw_energy *e)
{
    for (int i = 0; i < QW_ENERGY_MOST; i++) {
        char folder[96], name[128], text[32];
        snprintf(folder, sizeof folder, "sys/class/power_supply/BAT%d", i);
        snprintf(name, sizeof name, "%s/status", folder);
        qw_system_text(text, sizeof text, e->root, name);
        if (strncmp(text, "Discharging", 11) == 0 && !isnan(battery_power(e->root, folder)))
            add(e, QW_ENERGY_BATTERY, folder);
    }
}

void qw_energy_find(qw_energy *out, const char *root)
{
    *out = (qw_energy){ .root = root };
    find_rapl(out);
    if (!out->n)
        find_batteries(out);
}

static double value_of(const qw_energy *e, int i)
{
    if (e->source == QW_ENERGY_BATTERY)
        return battery_power(e->root, e->folders[i]);
    const long long uj = qw_system_number(e->root, e->folders[i], "energy_uj", -1);
    return uj >= 0 ? (double)uj : (double)NAN;
}

void qw_energy_read(const qw_energy *e, qw_energy_reading *out)
{
    out->seconds = qw_now_s();
    for (int i = 0; i < e->n; i++)
        out->values[i] = value_of(e, i);
}

/* A counter that went down has begun anew at its largest value. */
static double counted(const qw_energy *e, int i, double before, double after)
{
    const double range = (double)qw_system_number(e->root, e->folders[i], "max_energy_range_uj", 0);
    return after >= before ? after - before : after - before + range;
}

double qw_energy_between(const qw_energy *e, const qw_energy_reading *before, const qw_energy_reading *after)
{
    double uj = e->source == QW_ENERGY_NONE ? (double)NAN : 0;
    for (int i = 0; i < e->n; i++)
        uj += e->source == QW_ENERGY_RAPL ? counted(e, i, before->values[i], after->values[i])
                                          : (before->values[i] + after->values[i]) / 2 * (after->seconds - before->seconds);
    return uj * 1e-6;
}

/* A libnvidia-ml.so.1 without a GPU: plays scripted power curves, so that the true energy is known.
 *
 * NVML_EMULATOR_SCRIPT names the script (bench/nvml/curve.py writes it). Without one, nvmlInit answers that no driver is
 * loaded. Time is CLOCK_MONOTONIC since NVML_EMULATOR_EPOCH (seconds; else since the first nvmlInit), or, where
 * NVML_EMULATOR_CLOCK names a file, the double in its first eight bytes: whoever writes it moves the time.
 *
 * What real boards do and this does too:
 *   the energy counter is in mJ, moves once per refresh period and begins anew with the driver;
 *   instant power (field 186) is the mean of the last window_ms of every period_ms ("part-time power", arXiv 2312.02741);
 *   average power (field 185, and nvmlDeviceGetPowerUsage where usage=average) is a trailing mean over average_ms;
 *   under MIG energy is the board's, also when an instance is asked, and utilisation is not supported;
 *   on Grace superchips power fields have module scope only.
 * What it does not know: temperature, clocks, limits that act, processes.
 *
 * Script, one statement a line, times in seconds; those after `board` are about that board:
 *   board UUID [key=value ...]   keys: see settings[] below
 *   name TEXT
 *   power T WATTS                from T on; the first T is 0
 *   repeat SECONDS               the curve repeats
 *   reset T                      the counter is 0 at T
 *   says FROM TO MJ              the counter says this meanwhile
 *   error WHAT FROM TO CODE      calls of that kind (see kinds[]) answer CODE from FROM until TO
 *   reload FROM TO               no driver meanwhile; then handles are void until nvmlInit, and counters are 0 at TO
 */
#include <fcntl.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { SUCCESS, UNINITIALIZED, INVALID_ARGUMENT, NOT_SUPPORTED, NOT_FOUND = 6, DRIVER_NOT_LOADED = 9 };
enum { FIELD_AVERAGE = 185, FIELD_INSTANT = 186, SCOPE_GPU = 0, SCOPE_MODULE = 1, VALUE_UNSIGNED = 1 };
enum { MAX_BOARDS = 16, MAX_STEPS = 4096, MAX_EVENTS = 64, MAX_INSTANCES = 8 };
enum { ENERGY, USAGE, INSTANT, AVERAGE, UTILIZATION, MEMORY, HANDLE, ANY };
static const char *const kinds[] = {"energy", "usage", "instant", "average", "utilization", "memory", "handle", "any"};

typedef struct { double from, to; int kind, code; } Failure;
typedef struct { double from, to, mj; } Saying;
typedef struct Board Board;
typedef struct { Board *board; int instance; } Handle; /* instance -1: the board itself */
struct Board {
  char uuid[96], name[96];
  double arch, refresh_ms, period_ms, window_ms, average_ms, sampled, counter, usage_average, gpu_scope, module_scope;
  double c2c, mig, base_mj, memory_mb, used_mb, cost_us, limit_w;
  double at[MAX_STEPS], watts[MAX_STEPS], repeat, resets[MAX_EVENTS];
  int steps, reset_count, failure_count, saying_count;
  Saying sayings[MAX_EVENTS];
  Failure failures[MAX_EVENTS];
  Handle self, instances[MAX_INSTANCES];
};
typedef struct { const char *key; size_t offset; double value; } Setting;
#define SETTING(key, value) {#key, offsetof(Board, key), value}
static const Setting settings[] = {
  SETTING(arch, 9),          /* nvmlDeviceArchitecture_t: 4 Pascal, 5 Volta, 7 Ampere, 9 Hopper */
  SETTING(refresh_ms, 100),  /* the counter moves this often */
  SETTING(period_ms, 100),   /* power readings move this often … */
  SETTING(window_ms, 25),    /* … and are the mean over the last so many ms of it */
  SETTING(average_ms, 1000), /* trailing mean of average power */
  SETTING(counter, 1),       /* 0: NOT_SUPPORTED, as before Volta */
  SETTING(sampled, 0),       /* 1: the counter integrates the windows only */
  SETTING(usage_average, 1), /* 0: nvmlDeviceGetPowerUsage is instant, as up to GA100 */
  SETTING(gpu_scope, 1),     /* power fields 185 and 186 answer for scope GPU */
  SETTING(module_scope, 0),  /* … and for scope MODULE */
  SETTING(c2c, 0),           /* 1: a Grace superchip */
  SETTING(mig, 0),           /* MIG instances; 0: MIG is off */
  SETTING(base_mj, 0),       /* the counter at time 0 */
  SETTING(memory_mb, 81920), SETTING(used_mb, 1024), /* memory_mb=0: NOT_SUPPORTED, as on GB10 */
  SETTING(cost_us, 0),       /* what one reading of the counter takes */
  SETTING(limit_w, 700),
};
enum { SETTINGS = sizeof settings / sizeof *settings };

static Board *boards;
static int board_count, reload_count, initialised;
static double reloads[MAX_EVENTS][2], initialised_at, epoch;
static volatile double *scripted_clock;

static double monotonic(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec + now.tv_nsec * 1e-9;
}

static double now_s(void) { return scripted_clock ? *scripted_clock : monotonic() - epoch; }

/* --- the true curve ------------------------------------------------------------------------------------------- */

static double within(const Board *board, double t) {
  double joules = 0;
  for (int i = 0; i < board->steps && board->at[i] < t; i++) {
    double end = i + 1 < board->steps && board->at[i + 1] < t ? board->at[i + 1] : t;
    joules += board->watts[i] * (end - board->at[i]);
  }
  return joules;
}

static double energy_j(const Board *board, double t) {
  if (t <= 0) return board->steps ? board->watts[0] * t : 0; /* before the script: its first power */
  if (board->repeat <= 0) return within(board, t);
  double rounds = floor(t / board->repeat);
  return rounds * within(board, board->repeat) + within(board, t - rounds * board->repeat);
}

/* --- what the board shows of it ----------------------------------------------------------------------------------- */

static double tick(double t, double period_ms) {
  return floor(t * 1000 / period_ms + 1e-6) * period_ms / 1000;
}

static double mean_w(const Board *board, double end, double length_ms) {
  double length = length_ms / 1000;
  return (energy_j(board, end) - energy_j(board, end - length)) / length;
}

static double instant_w(const Board *board, double t) {
  return mean_w(board, tick(t, board->period_ms), board->window_ms);
}

static double average_w(const Board *board, double t) {
  return mean_w(board, tick(t, board->period_ms), board->average_ms);
}

static double counted_j(const Board *board, double t) {
  if (!board->sampled) return energy_j(board, t);
  double joules = 0, period = board->period_ms / 1000;
  for (long k = 1; k * period <= t + 1e-9; k++) joules += period * mean_w(board, k * period, board->window_ms);
  return joules;
}

static double began(const Board *board, double t) {
  double last = -1;
  for (int i = 0; i < board->reset_count; i++)
    if (board->resets[i] <= t && board->resets[i] > last) last = board->resets[i];
  for (int i = 0; i < reload_count; i++)
    if (reloads[i][1] <= t && reloads[i][1] > last) last = reloads[i][1];
  return last;
}

static unsigned long long counter_mj(const Board *board, double t) {
  double since = began(board, t), at = tick(t, board->refresh_ms);
  for (int i = 0; i < board->saying_count; i++)
    if (board->sayings[i].from <= t && t < board->sayings[i].to) return (unsigned long long)board->sayings[i].mj;
  if (since < 0) return (unsigned long long)(board->base_mj + 1000 * counted_j(board, at > 0 ? at : 0));
  return at <= since ? 0 : (unsigned long long)(1000 * (counted_j(board, at) - counted_j(board, since)));
}

/* --- the script ----------------------------------------------------------------------------------------------- */

static int complain(const char *line) {
  fprintf(stderr, "nvml emulator: cannot read %s", line);
  return 0;
}

static int set(Board *board, const char *word) {
  for (int i = 0; i < SETTINGS; i++) {
    size_t length = strlen(settings[i].key);
    if (!strncmp(word, settings[i].key, length) && word[length] == '=') {
      *(double *)((char *)board + settings[i].offset) = atof(word + length + 1);
      return 1;
    }
  }
  return 0;
}

static int new_board(const char *line, char *rest) {
  Board *board = &boards[board_count];
  char *word = strtok(rest, " \n");
  if (board_count == MAX_BOARDS || !word) return complain(line);
  for (int i = 0; i < SETTINGS; i++) *(double *)((char *)board + settings[i].offset) = settings[i].value;
  snprintf(board->uuid, sizeof board->uuid, "%s", word);
  snprintf(board->name, sizeof board->name, "NVIDIA Emulated");
  while ((word = strtok(NULL, " \n")))
    if (!set(board, word)) return complain(line);
  board->self = (Handle){board, -1};
  for (int i = 0; i < MAX_INSTANCES; i++) board->instances[i] = (Handle){board, i};
  board_count++;
  return 1;
}

static int failure(Board *board, const char *what, double from, double to, int code) {
  for (int kind = 0; kind <= ANY; kind++)
    if (!strcmp(what, kinds[kind]) && board->failure_count < MAX_EVENTS) {
      board->failures[board->failure_count++] = (Failure){from, to, kind, code};
      return 1;
    }
  return 0;
}

static int statement(char *line) {
  char copy[512], what[32];
  double a, b, c;
  int code, used = 0;
  snprintf(copy, sizeof copy, "%s", line);
  if (*line == '#' || *line == '\n') return 1;
  if (sscanf(line, "reload %lf %lf", &a, &b) == 2 && reload_count < MAX_EVENTS) {
    reloads[reload_count][0] = a;
    reloads[reload_count++][1] = b;
    return 1;
  }
  if (sscanf(line, "board %n", &used) == 0 && used && !strncmp(line, "board", 5)) return new_board(copy, line + used);
  if (!board_count) return complain(copy);
  Board *board = &boards[board_count - 1];
  if (!strncmp(line, "name ", 5)) {
    line[strcspn(line, "\n")] = 0;
    snprintf(board->name, sizeof board->name, "%.95s", line + 5);
    return 1;
  }
  if (sscanf(line, "power %lf %lf", &a, &b) == 2 && board->steps < MAX_STEPS) {
    board->at[board->steps] = a;
    board->watts[board->steps++] = b;
    return 1;
  }
  if (sscanf(line, "repeat %lf", &board->repeat) == 1) return 1;
  if (sscanf(line, "reset %lf", &a) == 1 && board->reset_count < MAX_EVENTS) {
    board->resets[board->reset_count++] = a;
    return 1;
  }
  if (sscanf(line, "says %lf %lf %lf", &a, &b, &c) == 3 && board->saying_count < MAX_EVENTS) {
    board->sayings[board->saying_count++] = (Saying){a, b, c};
    return 1;
  }
  if (sscanf(line, "error %31s %lf %lf %d", what, &a, &b, &code) == 4 && failure(board, what, a, b, code)) return 1;
  return complain(copy);
}

static int read_script(void) {
  const char *path = getenv("NVML_EMULATOR_SCRIPT");
  FILE *file = path && *path ? fopen(path, "r") : NULL;
  char line[512];
  int good = file != NULL;
  if (!boards) boards = malloc(MAX_BOARDS * sizeof(Board));
  memset(boards, 0, MAX_BOARDS * sizeof(Board));
  board_count = reload_count = 0;
  while (good && fgets(line, sizeof line, file)) good = statement(line);
  if (file) fclose(file);
  return good;
}

static void read_clock(void) {
  static double first;
  const char *path = getenv("NVML_EMULATOR_CLOCK"), *start = getenv("NVML_EMULATOR_EPOCH");
  if (scripted_clock) munmap((void *)scripted_clock, sizeof(double));
  scripted_clock = NULL;
  if (path && *path) {
    int file = open(path, O_RDONLY);
    void *map = file < 0 ? MAP_FAILED : mmap(NULL, sizeof(double), PROT_READ, MAP_SHARED, file, 0);
    if (file >= 0) close(file);
    if (map != MAP_FAILED) scripted_clock = map;
  }
  if (!first) first = monotonic();
  epoch = start && *start ? atof(start) : first;
}

/* --- the library ---------------------------------------------------------------------------------------------- */

static int reloading(double t) {
  for (int i = 0; i < reload_count; i++)
    if (reloads[i][0] <= t && t < reloads[i][1]) return 1;
  return 0;
}

static int driver(double t) {
  if (!initialised) return UNINITIALIZED;
  if (reloading(t)) return DRIVER_NOT_LOADED;
  for (int i = 0; i < reload_count; i++)
    if (initialised_at < reloads[i][1] && reloads[i][1] <= t) return UNINITIALIZED;
  return SUCCESS;
}

/* The answer that the script has for this question now, before the board's own. */
static int asked(const Handle *handle, int kind, double t) {
  int state = driver(t);
  if (state) return state;
  if (!handle) return INVALID_ARGUMENT;
  for (int i = 0; i < handle->board->failure_count; i++) {
    const Failure *failure = &handle->board->failures[i];
    if ((failure->kind == kind || failure->kind == ANY) && failure->from <= t && t < failure->to) return failure->code;
  }
  return SUCCESS;
}

int nvmlInitWithFlags(unsigned flags) {
  (void)flags;
  if (!initialised) {
    if (!read_script()) return DRIVER_NOT_LOADED;
    read_clock();
    if (reloading(now_s())) return DRIVER_NOT_LOADED;
    initialised_at = now_s();
  }
  initialised++;
  return SUCCESS;
}

int nvmlInit_v2(void) { return nvmlInitWithFlags(0); }

int nvmlShutdown(void) {
  if (!initialised) return UNINITIALIZED;
  initialised--;
  return SUCCESS;
}

const char *nvmlErrorString(int code) {
  switch (code) {
    case SUCCESS: return "Success";
    case UNINITIALIZED: return "Uninitialized";
    case NOT_SUPPORTED: return "Not Supported";
    case DRIVER_NOT_LOADED: return "Driver Not Loaded";
    default: return "an emulated error";
  }
}

static int text(char *to, unsigned length, const char *from) {
  snprintf(to, length, "%s", from);
  return SUCCESS;
}

int nvmlSystemGetDriverVersion(char *version, unsigned length) { return text(version, length, "emulated"); }

int nvmlDeviceGetCount_v2(unsigned *count) {
  *count = (unsigned)board_count;
  return driver(now_s());
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, Handle **handle) {
  int state = driver(now_s());
  if (state) return state;
  if (index >= (unsigned)board_count) return INVALID_ARGUMENT;
  *handle = &boards[index].self;
  return asked(*handle, HANDLE, now_s());
}

int nvmlDeviceGetHandleByUUID(const char *uuid, Handle **handle) {
  for (int i = 0; i < board_count; i++)
    if (!strcmp(uuid, boards[i].uuid)) return nvmlDeviceGetHandleByIndex_v2((unsigned)i, handle);
  return NOT_FOUND;
}

int nvmlDeviceGetName(Handle *handle, char *name, unsigned length) {
  int state = asked(handle, HANDLE, now_s());
  return state ? state : text(name, length, handle->board->name);
}

int nvmlDeviceGetUUID(Handle *handle, char *uuid, unsigned length) {
  int state = asked(handle, HANDLE, now_s());
  char instance[128];
  if (state) return state;
  snprintf(instance, sizeof instance, "MIG-%d-%s", handle->instance, handle->board->uuid);
  return text(uuid, length, handle->instance < 0 ? handle->board->uuid : instance);
}

int nvmlDeviceGetArchitecture(Handle *handle, unsigned *arch) {
  int state = asked(handle, HANDLE, now_s());
  if (!state) *arch = (unsigned)handle->board->arch;
  return state;
}

int nvmlDeviceGetC2cModeInfoV(Handle *handle, unsigned *enabled) {
  int state = asked(handle, HANDLE, now_s());
  if (state) return state;
  *enabled = handle->board->c2c > 0;
  return *enabled ? SUCCESS : NOT_SUPPORTED;
}

int nvmlDeviceGetMigMode(Handle *handle, unsigned *current, unsigned *pending) {
  int state = asked(handle, HANDLE, now_s());
  if (state) return state;
  if (handle->board->arch < 7) return NOT_SUPPORTED;
  *current = *pending = handle->board->mig > 0;
  return SUCCESS;
}

int nvmlDeviceGetMaxMigDeviceCount(Handle *handle, unsigned *count) {
  *count = (unsigned)handle->board->mig;
  return SUCCESS;
}

int nvmlDeviceGetMigDeviceHandleByIndex(Handle *handle, unsigned index, Handle **instance) {
  if (index >= (unsigned)handle->board->mig || index >= MAX_INSTANCES) return NOT_FOUND;
  *instance = &handle->board->instances[index];
  return SUCCESS;
}

int nvmlDeviceGetTotalEnergyConsumption(Handle *handle, unsigned long long *mj) {
  int state = asked(handle, ENERGY, now_s());
  if (state) return state;
  Board *board = handle->board;
  if (!board->counter) return NOT_SUPPORTED;
  if (board->cost_us > 0) nanosleep(&(struct timespec){0, (long)(board->cost_us * 1000)}, NULL);
  *mj = counter_mj(board, now_s());
  return SUCCESS;
}

int nvmlDeviceGetPowerUsage(Handle *handle, unsigned *mw) {
  double t = now_s();
  int state = asked(handle, USAGE, t);
  if (state) return state;
  *mw = (unsigned)(1000 * (handle->board->usage_average ? average_w(handle->board, t) : instant_w(handle->board, t)));
  return SUCCESS;
}

typedef struct {
  uint32_t field, scope;
  int64_t timestamp, latency_us;
  uint32_t value_type, result;
  union { double d; unsigned u; unsigned long long ull; } value;
} FieldValue;

static int field_value(Handle *handle, const FieldValue *asked_for, double t, unsigned *mw) {
  const Board *board = handle->board;
  int kind = asked_for->field == FIELD_INSTANT ? INSTANT : AVERAGE;
  int answers = (asked_for->scope == SCOPE_GPU && board->gpu_scope) ||
                (asked_for->scope == SCOPE_MODULE && board->module_scope);
  if (asked_for->field != FIELD_INSTANT && asked_for->field != FIELD_AVERAGE) return NOT_SUPPORTED;
  int state = asked(handle, kind, t);
  if (state || !answers) return state ? state : NOT_SUPPORTED;
  *mw = (unsigned)(1000 * (kind == INSTANT ? instant_w(board, t) : average_w(board, t)));
  return SUCCESS;
}

int nvmlDeviceGetFieldValues(Handle *handle, int count, FieldValue *values) {
  double t = now_s();
  int state = driver(t);
  if (state) return state;
  for (int i = 0; i < count; i++) {
    values[i].value_type = VALUE_UNSIGNED;
    values[i].result = (uint32_t)field_value(handle, &values[i], t, &values[i].value.u);
  }
  return SUCCESS;
}

typedef struct { unsigned gpu, memory; } Utilization;

int nvmlDeviceGetUtilizationRates(Handle *handle, Utilization *rates) {
  double t = now_s(), low = 1e9, high = 0;
  int state = asked(handle, UTILIZATION, t);
  if (state) return state;
  Board *board = handle->board;
  if (board->mig) return NOT_SUPPORTED;
  for (int i = 0; i < board->steps; i++) {
    low = fmin(low, board->watts[i]);
    high = fmax(high, board->watts[i]);
  }
  rates->memory = 0; /* this board is as busy as its power is between the curve's lowest and highest */
  rates->gpu = high > low ? (unsigned)(100 * (average_w(board, t) - low) / (high - low)) : 0;
  return SUCCESS;
}

typedef struct { unsigned long long total, free, used; } Memory;

int nvmlDeviceGetMemoryInfo(Handle *handle, Memory *memory) {
  int state = asked(handle, MEMORY, now_s());
  if (state) return state;
  Board *board = handle->board;
  if (!board->memory_mb) return NOT_SUPPORTED;
  memory->total = (unsigned long long)(board->memory_mb * 1048576);
  memory->used = (unsigned long long)(board->used_mb * 1048576);
  memory->free = memory->total - memory->used;
  return SUCCESS;
}

int nvmlDeviceGetEnforcedPowerLimit(Handle *handle, unsigned *mw) {
  int state = asked(handle, HANDLE, now_s());
  if (!state) *mw = (unsigned)(handle->board->limit_w * 1000);
  return state;
}

int nvmlDeviceGetPowerManagementLimit(Handle *handle, unsigned *mw) { return nvmlDeviceGetEnforcedPowerLimit(handle, mw); }

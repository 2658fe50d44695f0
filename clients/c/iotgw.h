/*
 * A device of the iotgw native protocol in one C99 header: no malloc, no I/O of its own, no threads.
 *
 * In one source file, before including it: #define IOTGW_IMPLEMENTATION
 * Define IOTGW_NO_COMMANDS or IOTGW_NO_DOWNLOADS everywhere to leave these out of the device.
 *
 * The caller fills in the first part of struct iotgw, opens a TCP connection, and calls
 *
 *     iotgw_connect(&g);                     log in; once per connection
 *     iotgw_begin(&g, IOTGW_READINGS);       a frame of readings ...
 *     iotgw_moment(&g, iotgw_now(&g));       ... of one or more moments ...
 *     iotgw_u8(&g, 2); iotgw_f32(&g, 21.5f); ... each with channels and values
 *     iotgw_end(&g);                         sent; kept in `out` until it is acked
 *     iotgw_poll(&g, 1000);                  acks, commands, files; again and again
 *
 * What is not acked leaves again, the same bytes, over the next connection. Every function that talks gives 0, or one of
 * IOTGW_LOST (connect again, after a pause), IOTGW_REFUSED and IOTGW_TOO_LONG (the frame was dropped; nothing was sent).
 * The whole protocol: docs/native.md.
 */
#ifndef IOTGW_H
#define IOTGW_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { IOTGW_LOST = -1, IOTGW_REFUSED = -2, IOTGW_TOO_LONG = -3 };
enum {
    IOTGW_HELLO = 1, IOTGW_DESCRIBE, IOTGW_READINGS, IOTGW_FILE_BEGIN, IOTGW_FILE_DATA, IOTGW_FILE_END,
    IOTGW_RESULT, IOTGW_GET, IOTGW_TIME, IOTGW_PING, IOTGW_BYE, IOTGW_ACK = 0x80, IOTGW_WELCOME = 0x81,
    IOTGW_COMMAND = 0x87, IOTGW_CHUNK = 0x88, IOTGW_TIME_ANSWER = 0x89, IOTGW_PONG = 0x8A, IOTGW_OFFER = 0x8B
};
enum { IOTGW_DONE, IOTGW_FAILED, IOTGW_UNKNOWN, IOTGW_WRONG, IOTGW_BUSY, IOTGW_DAMAGED };

#define IOTGW_VERSION 1
#ifndef IOTGW_ANSWER_MS
#define IOTGW_ANSWER_MS 15000u /* for a WELCOME, an ACK, a CHUNK or a PONG */
#endif
#define IOTGW_TRIES 3
#define IOTGW_NO_FIX INT32_MIN
#define IOTGW_NO_ALTITUDE INT32_MIN
#define IOTGW_NO_SPEED 0xFFFF
#define IOTGW_NO_COURSE 0xFFFF

struct iotgw_channel { uint8_t number; const char *name, *unit; };

#ifndef IOTGW_NO_COMMANDS
struct iotgw_value {
    const uint8_t *name; uint8_t name_size;
    uint8_t type;
    int64_t number;      /* types 0 to 5 */
    double real;         /* types 6 and 7 */
    const uint8_t *data; /* types 8 to 10 */
    uint16_t size;
};
struct iotgw_arguments { const uint8_t *at, *end; };
#endif

struct iotgw {
    const char *identity, *token, *model, *software;
    const struct iotgw_channel *channels; /* of the device's own, from 128 on */
    size_t channel_count;
    uint8_t *in;                          /* one frame of the platform's: the longest payload you take, and 9 bytes */
    size_t in_size;
    uint8_t *out;                         /* frames that wait for their acks, each with 6 bytes more, and 640 bytes besides */
    size_t out_size;
    void *context;                        /* handed to all of the following */
    int (*send)(void *, const uint8_t *data, size_t size);                     /* 0, or negative if the link is lost */
    int (*recv)(void *, uint8_t *data, size_t size, uint32_t wait_ms);         /* how many bytes; 0, none; negative, lost */
    uint32_t (*ticks)(void *);                                                 /* milliseconds; may go round */
    void (*on_ack)(void *, uint8_t kind, uint16_t sequence, uint8_t result);   /* may be NULL */
#ifndef IOTGW_NO_COMMANDS
    /* Gives a status. Values are answered with iotgw_short(g, name) and one of iotgw_f32() ... */
    uint8_t (*on_command)(void *, struct iotgw *, const uint8_t *name, uint8_t size, struct iotgw_arguments *);
#endif
#ifndef IOTGW_NO_DOWNLOADS
    int32_t (*on_offer)(void *, uint32_t file, uint32_t size, uint32_t *crc32); /* bytes there already, their CRC; or negative */
    void (*on_chunk)(void *, uint32_t offset, const uint8_t *data, size_t size);
    void (*on_loaded)(void *, int is_good);
    struct { uint32_t file, size, crc32, offset, found, asked_at; int is_on; } download;
#endif
    /* From here on it is the client's own. Begin with zeros. */
    size_t in_used, out_used, frame_at, moment_at;
    uint64_t clock;
    uint32_t clock_ticks, heard_at, said_at, keep_alive_ms;
    uint16_t sequence, hello, payload, command_size;
    uint8_t window, waiting, is_online, is_long, command_status;
    uint32_t command;
    int is_command_known;
};

int iotgw_connect(struct iotgw *g);
int iotgw_poll(struct iotgw *g, uint32_t wait_ms);
int iotgw_drain(struct iotgw *g); /* until everything is acked */
uint64_t iotgw_now(struct iotgw *g); /* ms since 1970 by the platform's clock; small while that is not known */

int iotgw_begin(struct iotgw *g, uint8_t kind); /* waits for room in the window */
void iotgw_u8(struct iotgw *g, uint8_t number);
void iotgw_u16(struct iotgw *g, uint16_t number);
void iotgw_u32(struct iotgw *g, uint32_t number);
void iotgw_u64(struct iotgw *g, uint64_t number);
void iotgw_put(struct iotgw *g, const void *data, size_t size);
void iotgw_short(struct iotgw *g, const char *text); /* a length of one byte, and the text */
void iotgw_moment(struct iotgw *g, uint64_t stamp);
void iotgw_truth(struct iotgw *g, int is_so); /* a typed value, behind its channel or name; so are the next */
void iotgw_whole(struct iotgw *g, int64_t number);
void iotgw_f32(struct iotgw *g, float number);
void iotgw_f64(struct iotgw *g, double number);
void iotgw_text(struct iotgw *g, const char *text);
void iotgw_bytes(struct iotgw *g, const void *data, uint16_t size);
void iotgw_point(struct iotgw *g, int32_t latitude_e7, int32_t longitude_e7, int32_t altitude_cm, uint16_t speed_dkmh, uint16_t course_cdeg);
int iotgw_end(struct iotgw *g);

int iotgw_sync(struct iotgw *g); /* asks for the time; the answer sets the clock */
int iotgw_bye(struct iotgw *g);
/* read: fills in `size` bytes from `offset`, 0 if it could. progress, may be NULL: all before `offset` is stored for good. */
int iotgw_file(struct iotgw *g, uint64_t stamp, uint8_t content, const char *name, uint32_t size, uint32_t start,
               int (*read)(void *, uint32_t offset, uint8_t *data, size_t size), void (*progress)(void *, uint32_t offset));
uint16_t iotgw_crc16(const uint8_t *data, size_t size);
uint32_t iotgw_crc32(uint32_t crc, const uint8_t *data, size_t size); /* of what came before, 0 at the beginning */
#ifndef IOTGW_NO_COMMANDS
int iotgw_next(struct iotgw_arguments *arguments, struct iotgw_value *value); /* 1, or 0 when there are no more */
#endif

#ifdef IOTGW_IMPLEMENTATION

/* A slot: when it was sent u32, how often u8, spare; then the frame. The reserve is for HELLO and DESCRIBE, without which
 * nothing of what waits could ever leave again. */
enum { IOTGW_SLOT = 6, IOTGW_HEAD = 7, IOTGW_ROOM = 9, IOTGW_RESERVE = 640 };

static uint16_t iotgw_get16(const uint8_t *p) { return (uint16_t)(p[0] << 8 | p[1]); }
static uint32_t iotgw_get32(const uint8_t *p) { return (uint32_t)iotgw_get16(p) << 16 | iotgw_get16(p + 2); }
static uint64_t iotgw_get64(const uint8_t *p) { return (uint64_t)iotgw_get32(p) << 32 | iotgw_get32(p + 4); }
static uint32_t iotgw_ticks(struct iotgw *g) { return g->ticks(g->context); }

uint16_t iotgw_crc16(const uint8_t *data, size_t size) {
    uint16_t crc = 0xFFFF;
    while (size--) {
        crc ^= *data++;
        for (int bit = 0; bit < 8; bit++) crc = (uint16_t)(crc & 1 ? crc >> 1 ^ 0x8408 : crc >> 1);
    }
    return crc ^ 0xFFFF;
}

uint32_t iotgw_crc32(uint32_t crc, const uint8_t *data, size_t size) {
    crc = ~crc;
    while (size--) {
        crc ^= *data++;
        for (int bit = 0; bit < 8; bit++) crc = crc & 1 ? crc >> 1 ^ 0xEDB88320u : crc >> 1;
    }
    return ~crc;
}

uint64_t iotgw_now(struct iotgw *g) {
    uint32_t ticks = iotgw_ticks(g);
    g->clock += (uint32_t)(ticks - g->clock_ticks);
    g->clock_ticks = ticks;
    return g->clock;
}

static int iotgw_write(struct iotgw *g, const uint8_t *frame) {
    g->said_at = iotgw_ticks(g);
    return g->send(g->context, frame, (size_t)IOTGW_ROOM + iotgw_get16(frame + 3)) < 0 ? IOTGW_LOST : 0;
}

static void iotgw_open(struct iotgw *g, uint8_t kind) {
    g->frame_at = g->out_used + IOTGW_SLOT;
    g->moment_at = 0;
    g->is_long = g->out_size < g->frame_at + IOTGW_ROOM;
    if (g->is_long) return;
    memset(g->out + g->out_used, 0, IOTGW_SLOT);
    g->out_used = g->frame_at;
    g->out[g->out_used++] = 0x10;
    g->out[g->out_used++] = 0xA7;
    g->out[g->out_used++] = kind;
    g->out_used += 4;
}

void iotgw_put(struct iotgw *g, const void *data, size_t size) {
    if (g->is_long || g->out_used + size + 2 > g->out_size) { g->is_long = 1; return; }
    memcpy(g->out + g->out_used, data, size);
    g->out_used += size;
}

void iotgw_u8(struct iotgw *g, uint8_t number) { iotgw_put(g, &number, 1); }
void iotgw_u16(struct iotgw *g, uint16_t number) { iotgw_u8(g, (uint8_t)(number >> 8)); iotgw_u8(g, (uint8_t)number); }
void iotgw_u32(struct iotgw *g, uint32_t number) { iotgw_u16(g, (uint16_t)(number >> 16)); iotgw_u16(g, (uint16_t)number); }
void iotgw_u64(struct iotgw *g, uint64_t number) { iotgw_u32(g, (uint32_t)(number >> 32)); iotgw_u32(g, (uint32_t)number); }

static void iotgw_counted(struct iotgw *g, const void *data, size_t size) {
    if (size > 255) g->is_long = 1;
    iotgw_u8(g, (uint8_t)size);
    iotgw_put(g, data, size);
}
void iotgw_short(struct iotgw *g, const char *text) { iotgw_counted(g, text ? text : "", text ? strlen(text) : 0); }
void iotgw_truth(struct iotgw *g, int is_so) { iotgw_u8(g, is_so ? 1 : 0); }
void iotgw_whole(struct iotgw *g, int64_t number) {
    if (number >= INT8_MIN && number <= INT8_MAX) { iotgw_u8(g, 2); iotgw_u8(g, (uint8_t)number); }
    else if (number >= INT16_MIN && number <= INT16_MAX) { iotgw_u8(g, 3); iotgw_u16(g, (uint16_t)number); }
    else if (number >= INT32_MIN && number <= INT32_MAX) { iotgw_u8(g, 4); iotgw_u32(g, (uint32_t)number); }
    else { iotgw_u8(g, 5); iotgw_u64(g, (uint64_t)number); }
}
void iotgw_f32(struct iotgw *g, float number) {
    uint32_t bits;
    memcpy(&bits, &number, 4);
    iotgw_u8(g, 6);
    iotgw_u32(g, bits);
}
void iotgw_f64(struct iotgw *g, double number) {
    uint64_t bits = 0;
    if (sizeof number == 4) { iotgw_f32(g, (float)number); return; } /* on some 8-bit boards a double is a float */
    memcpy(&bits, &number, sizeof number);
    iotgw_u8(g, 7);
    iotgw_u64(g, bits);
}
void iotgw_bytes(struct iotgw *g, const void *data, uint16_t size) { iotgw_u8(g, 9); iotgw_u16(g, size); iotgw_put(g, data, size); }
void iotgw_text(struct iotgw *g, const char *text) {
    size_t size = strlen(text);
    if (size > UINT16_MAX) g->is_long = 1;
    iotgw_u8(g, 8);
    iotgw_u16(g, (uint16_t)size);
    iotgw_put(g, text, size);
}
void iotgw_point(struct iotgw *g, int32_t latitude_e7, int32_t longitude_e7, int32_t altitude_cm, uint16_t speed_dkmh, uint16_t course_cdeg) {
    iotgw_u8(g, 10);
    iotgw_u32(g, (uint32_t)latitude_e7);
    iotgw_u32(g, (uint32_t)longitude_e7);
    iotgw_u32(g, (uint32_t)altitude_cm);
    iotgw_u16(g, speed_dkmh);
    iotgw_u16(g, course_cdeg);
}

static void iotgw_close_moment(struct iotgw *g) {
    if (g->moment_at && !g->is_long) {
        size_t size = g->out_used - g->moment_at - 2;
        g->out[g->moment_at] = (uint8_t)(size >> 8);
        g->out[g->moment_at + 1] = (uint8_t)size;
    }
    g->moment_at = 0;
}
void iotgw_moment(struct iotgw *g, uint64_t stamp) {
    size_t at;
    iotgw_close_moment(g);
    at = g->out_used;
    iotgw_u16(g, 0);
    iotgw_u64(g, stamp);
    g->moment_at = at;
}

/* Closes the frame that is open and sends it; kept for its ack, or not. */
static int iotgw_close(struct iotgw *g, int is_kept) {
    uint8_t *frame = g->out + g->frame_at;
    size_t size = g->out_used - g->frame_at - IOTGW_HEAD, limit = g->payload ? g->payload : 1024;
    uint16_t crc;
    int error;
    iotgw_close_moment(g);
    if (is_kept && g->out_used + 2 + IOTGW_RESERVE > g->out_size) g->is_long = 1;
    if (g->is_long || size > limit) { g->out_used = g->frame_at - IOTGW_SLOT; return IOTGW_TOO_LONG; }
    g->sequence++;
    frame[3] = (uint8_t)(size >> 8);
    frame[4] = (uint8_t)size;
    frame[5] = (uint8_t)(g->sequence >> 8);
    frame[6] = (uint8_t)g->sequence;
    crc = iotgw_crc16(frame + 2, size + 5);
    frame[IOTGW_HEAD + size] = (uint8_t)(crc >> 8);
    frame[IOTGW_HEAD + size + 1] = (uint8_t)crc;
    error = iotgw_write(g, frame);
    if (is_kept) {
        uint32_t now = iotgw_ticks(g);
        memcpy(frame - IOTGW_SLOT, &now, 4);
        frame[-2] = 1;
        g->out_used += 2;
        g->waiting++;
    } else {
        g->out_used = g->frame_at - IOTGW_SLOT;
    }
    return error;
}

int iotgw_begin(struct iotgw *g, uint8_t kind) {
    size_t room = IOTGW_SLOT + IOTGW_ROOM + IOTGW_RESERVE + (size_t)g->payload;
    while (g->waiting && (g->waiting >= g->window || g->out_size - g->out_used < room)) {
        int error = iotgw_poll(g, 100);
        if (error) return error;
    }
    iotgw_open(g, kind);
    return 0;
}
int iotgw_end(struct iotgw *g) { return iotgw_close(g, 1); }

/* A frame that waits stands behind its slot. */
static size_t iotgw_slot_size(const uint8_t *slot) { return (size_t)IOTGW_SLOT + IOTGW_ROOM + iotgw_get16(slot + IOTGW_SLOT + 3); }

static int iotgw_send_slot(struct iotgw *g, uint8_t *slot, uint8_t tries) {
    uint32_t now = iotgw_ticks(g);
    memcpy(slot, &now, 4);
    slot[4] = tries;
    return iotgw_write(g, slot + IOTGW_SLOT);
}

static void iotgw_settle(struct iotgw *g, uint16_t sequence, uint8_t result, uint64_t time) {
    for (size_t at = 0; at < g->out_used; at += iotgw_slot_size(g->out + at)) {
        uint8_t *slot = g->out + at, kind = slot[IOTGW_SLOT + 2];
        size_t size = iotgw_slot_size(slot);
        if (iotgw_get16(slot + IOTGW_SLOT + 5) != sequence) continue;
        if (time) {
            /* The answer was on its way for half of what the whole round took, if both ways are alike. */
            uint32_t sent;
            memcpy(&sent, slot, 4);
            g->clock_ticks = iotgw_ticks(g);
            g->clock = time + (g->clock_ticks - sent) / 2;
        }
        memmove(slot, slot + size, g->out_used - at - size);
        g->out_used -= size;
        g->waiting--;
        if (g->on_ack) g->on_ack(g->context, kind, sequence, result);
        return;
    }
}

#if !defined IOTGW_NO_COMMANDS || !defined IOTGW_NO_DOWNLOADS
static void iotgw_result(struct iotgw *g, uint8_t answered, uint32_t id, uint8_t status) {
    iotgw_open(g, IOTGW_RESULT);
    iotgw_u64(g, iotgw_now(g));
    iotgw_u8(g, answered);
    iotgw_u32(g, id);
    iotgw_u8(g, status);
}
#endif

#ifndef IOTGW_NO_COMMANDS
int iotgw_next(struct iotgw_arguments *arguments, struct iotgw_value *value) {
    static const uint8_t sizes[] = {0, 0, 1, 2, 4, 8, 4, 8, 0, 0, 16};
    const uint8_t *p = arguments->at, *end = arguments->end;
    uint64_t bits = 0;
    if (end - p < 1 || end - p < p[0] + 2) return 0;
    value->name_size = *p++;
    value->name = p;
    p += value->name_size;
    value->type = *p++;
    if (value->type >= sizeof sizes) return 0;
    value->size = sizes[value->type];
    if (value->type == 8 || value->type == 9) {
        if (end - p < 2) return 0;
        value->size = iotgw_get16(p);
        p += 2;
    }
    if (end - p < value->size) return 0;
    value->data = p;
    for (unsigned i = 0; i < value->size && i < 8; i++) bits = bits << 8 | p[i];
    value->number = value->type < 2 ? value->type : 0;
    value->real = 0;
    if (value->type == 2) value->number = (int8_t)bits;
    if (value->type == 3) value->number = (int16_t)bits;
    if (value->type == 4) value->number = (int32_t)bits;
    if (value->type == 5) value->number = (int64_t)bits;
    if (value->type == 6) { float single; uint32_t low = (uint32_t)bits; memcpy(&single, &low, 4); value->real = single; }
    if (value->type == 7 && sizeof(double) == 8) memcpy(&value->real, &bits, sizeof value->real);
    arguments->at = p + value->size;
    return 1;
}

static int iotgw_do(struct iotgw *g, const uint8_t *body, size_t size) {
    uint32_t id = iotgw_get32(body);
    struct iotgw_arguments arguments;
    int error;
    if (size < 5 || size < 5u + body[4]) return 0;
    /* Told again, because its result did not arrive in time, a command is not done again; one that was put off is. */
    iotgw_result(g, IOTGW_COMMAND, id, g->command_status);
    if (!g->is_command_known || g->command != id) {
        arguments.at = body + 5 + body[4];
        arguments.end = body + size;
        g->command_status = g->on_command ? g->on_command(g->context, g, body + 5, body[4], &arguments) : IOTGW_UNKNOWN;
        g->is_command_known = g->command_status != IOTGW_BUSY;
        g->command = id;
        if (!g->is_long) g->out[g->frame_at + IOTGW_HEAD + 13] = g->command_status;
    }
    error = iotgw_end(g);
    if (error == IOTGW_TOO_LONG) { /* done, but there is no room to say more */
        iotgw_result(g, IOTGW_COMMAND, id, g->command_status);
        error = iotgw_end(g);
    }
    return error == IOTGW_LOST ? IOTGW_LOST : 0;
}
#endif

#ifndef IOTGW_NO_DOWNLOADS
static int iotgw_ask(struct iotgw *g) {
    uint8_t status;
    if (g->download.offset < g->download.size) {
        size_t most = g->in_size - IOTGW_ROOM - 8;
        g->download.asked_at = iotgw_ticks(g);
        iotgw_open(g, IOTGW_GET);
        iotgw_u32(g, g->download.file);
        iotgw_u32(g, g->download.offset);
        iotgw_u16(g, (uint16_t)(most > 4072 ? 4072 : most));
        return iotgw_close(g, 0) == IOTGW_LOST ? IOTGW_LOST : 0; /* without room now, it asks again */
    }
    g->download.is_on = 0;
    status = g->download.found == g->download.crc32 ? IOTGW_DONE : IOTGW_DAMAGED;
    if (g->on_loaded) g->on_loaded(g->context, status == IOTGW_DONE);
    iotgw_result(g, IOTGW_OFFER, g->download.file, status);
    return iotgw_end(g) == IOTGW_LOST ? IOTGW_LOST : 0;
}

static int iotgw_offered(struct iotgw *g, const uint8_t *body, size_t size) {
    int32_t there = -1;
    if (size < 14) return 0;
    g->download.file = iotgw_get32(body);
    g->download.size = iotgw_get32(body + 4);
    g->download.crc32 = iotgw_get32(body + 8);
    g->download.found = 0;
    if (g->on_offer) there = g->on_offer(g->context, g->download.file, g->download.size, &g->download.found);
    g->download.is_on = there >= 0;
    if (g->download.is_on) {
        g->download.offset = (uint32_t)there;
        return iotgw_ask(g);
    }
    iotgw_result(g, IOTGW_OFFER, g->download.file, IOTGW_UNKNOWN);
    return iotgw_end(g) == IOTGW_LOST ? IOTGW_LOST : 0;
}

static int iotgw_loaded(struct iotgw *g, const uint8_t *body, size_t size) {
    if (!g->download.is_on || size < 9 || iotgw_get32(body) != g->download.file) return 0;
    if (iotgw_get32(body + 4) != g->download.offset || size - 8 > g->download.size - g->download.offset) return 0;
    g->on_chunk(g->context, g->download.offset, body + 8, size - 8);
    g->download.found = iotgw_crc32(g->download.found, body + 8, size - 8);
    g->download.offset += (uint32_t)(size - 8);
    return iotgw_ask(g);
}
#endif

static int iotgw_take(struct iotgw *g, uint8_t kind, uint16_t sequence, const uint8_t *body, size_t size) {
    if (kind == IOTGW_WELCOME && sequence == g->hello && size >= 16) {
        if (body[0] || body[1] > IOTGW_VERSION) return IOTGW_REFUSED;
        g->clock = iotgw_get64(body + 2);
        g->clock_ticks = iotgw_ticks(g);
        g->payload = iotgw_get16(body + 10);
        g->window = body[12];
        g->keep_alive_ms = 1000u * iotgw_get16(body + 13);
        g->is_online = 1;
    } else if (kind == IOTGW_ACK && size >= 1) {
        if (body[0] != 0 && body[0] != 2) return IOTGW_REFUSED;
        iotgw_settle(g, sequence, body[0], 0);
    } else if (kind == IOTGW_TIME_ANSWER && size >= 16) {
        iotgw_settle(g, sequence, 0, iotgw_get64(body + 8));
    }
#ifndef IOTGW_NO_COMMANDS
    if (kind == IOTGW_COMMAND) return iotgw_do(g, body, size);
#endif
#ifndef IOTGW_NO_DOWNLOADS
    if (kind == IOTGW_OFFER) return iotgw_offered(g, body, size);
    if (kind == IOTGW_CHUNK) return iotgw_loaded(g, body, size);
#endif
    return 0;
}

static int iotgw_receive(struct iotgw *g, uint32_t wait_ms) {
    int count = g->recv(g->context, g->in + g->in_used, g->in_size - g->in_used, wait_ms), error = 0;
    if (count < 0) return IOTGW_LOST;
    g->in_used += (size_t)count;
    while (g->in_used && !error) {
        size_t size = g->in_used >= 5 ? (size_t)IOTGW_ROOM + iotgw_get16(g->in + 3) : 0, drop = 1;
        int is_marked = g->in[0] == 0x10 && (g->in_used < 2 || g->in[1] == 0xA7);
        if (is_marked && size <= g->in_size) {
            if (!size || g->in_used < size) break;
            if (iotgw_crc16(g->in + 2, size - 4) == iotgw_get16(g->in + size - 2)) {
                g->heard_at = iotgw_ticks(g);
                error = iotgw_take(g, g->in[2], iotgw_get16(g->in + 5), g->in + IOTGW_HEAD, size - IOTGW_ROOM);
                drop = size;
            }
        }
        g->in_used -= drop;
        memmove(g->in, g->in + drop, g->in_used);
    }
    return error;
}

int iotgw_poll(struct iotgw *g, uint32_t wait_ms) {
    int error = iotgw_receive(g, wait_ms);
    uint32_t now = iotgw_ticks(g);
    for (size_t at = 0; !error && at < g->out_used; at += iotgw_slot_size(g->out + at)) {
        uint8_t *slot = g->out + at;
        uint32_t sent;
        memcpy(&sent, slot, 4);
        if (now - sent <= IOTGW_ANSWER_MS) continue;
        error = slot[4] == IOTGW_TRIES ? IOTGW_LOST : iotgw_send_slot(g, slot, slot[4] + 1);
    }
#ifndef IOTGW_NO_DOWNLOADS
    if (!error && g->download.is_on && now - g->download.asked_at > IOTGW_ANSWER_MS) error = iotgw_ask(g);
#endif
    if (!error && now - g->said_at > g->keep_alive_ms) {
        iotgw_open(g, IOTGW_PING);
        if (iotgw_close(g, 0) == IOTGW_LOST) error = IOTGW_LOST;
    }
    return !error && now - g->heard_at > g->keep_alive_ms + IOTGW_ANSWER_MS ? IOTGW_LOST : error;
}

int iotgw_drain(struct iotgw *g) {
    int error = 0;
    while (g->waiting && !error) error = iotgw_poll(g, 100);
    return error;
}

int iotgw_connect(struct iotgw *g) {
    int error;
    g->in_used = 0;
    g->is_online = 0;
    g->payload = 0;
    g->heard_at = iotgw_ticks(g);
#ifndef IOTGW_NO_DOWNLOADS
    g->download.is_on = 0;
#endif
    iotgw_open(g, IOTGW_HELLO);
    iotgw_u8(g, IOTGW_VERSION);
    iotgw_u16(g, (uint16_t)(g->in_size - IOTGW_ROOM));
    iotgw_short(g, g->identity);
    iotgw_short(g, g->token);
    iotgw_short(g, g->model);
    iotgw_short(g, g->software);
    error = iotgw_close(g, 0);
    g->hello = g->sequence;
    while (!error && !g->is_online) {
        error = iotgw_receive(g, 100);
        if (!error && iotgw_ticks(g) - g->heard_at > IOTGW_ANSWER_MS) error = IOTGW_LOST;
    }
    if (!error && g->channel_count) {
        iotgw_open(g, IOTGW_DESCRIBE);
        for (size_t i = 0; i < g->channel_count; i++) {
            iotgw_u8(g, g->channels[i].number);
            iotgw_short(g, g->channels[i].name);
            iotgw_short(g, g->channels[i].unit);
        }
        error = iotgw_close(g, 0);
    }
    for (size_t at = 0; !error && at < g->out_used; at += iotgw_slot_size(g->out + at)) error = iotgw_send_slot(g, g->out + at, 1);
    return error;
}

int iotgw_sync(struct iotgw *g) {
    int error = iotgw_begin(g, IOTGW_TIME);
    if (error) return error;
    iotgw_u64(g, iotgw_now(g));
    return iotgw_end(g);
}

int iotgw_bye(struct iotgw *g) {
    int error = iotgw_begin(g, IOTGW_BYE);
    if (!error) error = iotgw_end(g);
    return error ? error : iotgw_drain(g);
}

/* Up to where a file is stored for good: where the first frame of it begins that is not acked. */
static uint32_t iotgw_stored(struct iotgw *g, uint32_t offset) {
    for (size_t at = 0; at < g->out_used; at += iotgw_slot_size(g->out + at))
        if (g->out[at + IOTGW_SLOT + 2] == IOTGW_FILE_DATA) return iotgw_get32(g->out + at + IOTGW_SLOT + IOTGW_HEAD + 8);
    return offset;
}

/* The caller knows from where to go on: frames of files do not outlive a link. */
static void iotgw_forget_files(struct iotgw *g) {
    for (size_t at = 0; at < g->out_used;) {
        uint8_t kind = g->out[at + IOTGW_SLOT + 2];
        size_t size = iotgw_slot_size(g->out + at);
        if (kind < IOTGW_FILE_BEGIN || kind > IOTGW_FILE_END) { at += size; continue; }
        memmove(g->out + at, g->out + at + size, g->out_used - at - size);
        g->out_used -= size;
        g->waiting--;
    }
}

int iotgw_file(struct iotgw *g, uint64_t stamp, uint8_t content, const char *name, uint32_t size, uint32_t start,
               int (*read)(void *, uint32_t, uint8_t *, size_t), void (*progress)(void *, uint32_t)) {
    uint32_t crc = 0, offset = 0, told = start;
    int error = iotgw_begin(g, IOTGW_FILE_BEGIN);
    if (!error) {
        iotgw_u64(g, stamp);
        iotgw_u8(g, content);
        iotgw_u32(g, size);
        iotgw_short(g, name);
        error = iotgw_end(g);
    }
    while (!error && offset < size) {
        uint32_t end = offset < start ? start : size, count = end - offset;
        uint8_t *data;
        if (count > (uint32_t)g->payload - 12) count = (uint32_t)g->payload - 12;
        if ((error = iotgw_begin(g, IOTGW_FILE_DATA)) != 0) break;
        iotgw_u64(g, stamp);
        iotgw_u32(g, offset);
        data = g->out + g->out_used;
        if (g->is_long || g->out_used + count + 2 > g->out_size || read(g->context, offset, data, count)) { g->is_long = 1; }
        else {
            crc = iotgw_crc32(crc, data, count);
            g->out_used += count;
        }
        if (offset < start && !g->is_long) { /* stored already: only its bytes are counted in */
                    g->out_used = g->frame_at - IOTGW_SLOT;
        } else {
            error = iotgw_end(g);
        }
        offset += count;
        if (!error && iotgw_stored(g, offset) > told) {
            told = iotgw_stored(g, offset);
            if (progress) progress(g->context, told);
        }
    }
    if (!error) error = iotgw_drain(g);
    if (!error && progress && size > told) progress(g->context, size);
    if (!error && !(error = iotgw_begin(g, IOTGW_FILE_END))) {
        iotgw_u64(g, stamp);
        iotgw_u32(g, size);
        iotgw_u32(g, crc);
        error = iotgw_end(g);
        if (!error) error = iotgw_drain(g);
    }
    if (error == IOTGW_LOST) iotgw_forget_files(g);
    return error;
}

#endif /* IOTGW_IMPLEMENTATION */
#endif

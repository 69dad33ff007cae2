/* comm.c: messages with a time limit, and errors that all ranks learn of.

   Every message on the frames' communicator begins with a frame: 64 numbers that are added up over the ranks. The first
   says how many ranks have an error, the second what call this is. So a rank with an error sends a frame, whatever the
   others are doing, and all of them see it. */
#define _POSIX_C_SOURCE 200809L
#include "nn/mpi/comm.h"

#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "autodiff/extend.h"
#include "autodiff/op.h"

enum { FRAME = 64, HEAD = 2, ROOM = FRAME - HEAD, TEXT = 512, SPINS = 200 };

/* ---- waiting ----------------------------------------------------------------------------------------------------- */

int nn__comm_fail(nn__comm *c, ad_graph *g, int rc, const char *what) {
    char text[MPI_MAX_ERROR_STRING];
    int length = 0;
    c->ended = c->lost = true;
    if (MPI_Error_string(rc, text, &length) != MPI_SUCCESS) snprintf(text, sizeof text, "error %d", rc);
    return ad_fail(g, AD_EIO, "mpi: %s: %.300s", what, text);
}

/* Waits until all are done; the seconds are over; or MPI has an error, which is then *rc. */
static bool done_in(double seconds, int n, MPI_Request *requests, int *rc) {
    int done = 0;
    double end = MPI_Wtime() + seconds;
    for (int64_t k = 1;; k++) {
        *rc = MPI_Testall(n, requests, &done, MPI_STATUSES_IGNORE);
        if (done || *rc != MPI_SUCCESS) return *rc == MPI_SUCCESS;
        if (k < SPINS) continue;
        sched_yield(); /* there may be more ranks than processors */
        if (MPI_Wtime() > end) return false;
    }
}

/* Which ranks still answer, after one did not: each asks all others. Writes the numbers of those that do not. */
static void ask_around(nn__comm *c, char *to, size_t size) {
    enum { TAG = 77, MOST = 256 };
    static const char here = 1;
    char got[MOST];
    MPI_Request in[MOST], out;
    size_t at = 0;
    int n = c->size < MOST ? c->size : MOST, rc;
    for (int r = 0; r < n; r++) {
        in[r] = MPI_REQUEST_NULL;
        if (r == c->rank) continue;
        if (MPI_Isend(&here, 1, MPI_CHAR, r, TAG, c->frames, &out) == MPI_SUCCESS) MPI_Request_free(&out);
        MPI_Irecv(&got[r], 1, MPI_CHAR, r, TAG, c->frames, &in[r]);
    }
    done_in(2 + c->timeout / 8, n, in, &rc);
    snprintf(to, size, "another rank");
    for (int r = 0; r < n; r++) {
        int done = 1;
        if (MPI_Test(&in[r], &done, MPI_STATUS_IGNORE) == MPI_SUCCESS && done) continue;
        MPI_Cancel(&in[r]);
        MPI_Request_free(&in[r]);
        if (at < size) at += (size_t)snprintf(to + at, size - at, "%s%d", at ? ", " : "rank ", r);
    }
}

int nn__comm_wait(nn__comm *c, ad_graph *g, int n, MPI_Request *requests) {
    int rc;
    if (n == 0 || done_in(c->timeout, n, requests, &rc)) return AD_OK;
    if (rc != MPI_SUCCESS) return nn__comm_fail(c, g, rc, "waiting for other ranks");
    char missing[120] = "another rank";
    bool is_open = !c->ended;
    c->ended = c->lost = true;
    if (is_open) ask_around(c, missing, sizeof missing);
    return ad_fail(g, AD_EIO,
                   "mpi: %s did not answer for %g s; it has died, is busy, or makes other calls. End by "
                   "MPI_Abort; a training resumes from its checkpoint",
                   missing, c->timeout);
}

/* ---- an error of some rank --------------------------------------------------------------------------------------- */

typedef struct {
    int code;
    char text[TEXT];
} fault;

/* All ranks get the error of the lowest rank that has one. */
static int share_fault(nn__comm *c, ad_graph *g, bool mine) {
    int least[2] = { mine ? c->rank : c->size, c->begun ? -(int)c->begun(c->bulk_data) : 0 };
    fault f = { AD_EVALUE, "there is no graph: the network is NULL" };
    MPI_Request r;
    int rc = MPI_Iallreduce(MPI_IN_PLACE, least, 2, MPI_INT, MPI_MIN, c->frames, &r);
    if (rc != MPI_SUCCESS) return nn__comm_fail(c, g, rc, "telling of an error");
    if (nn__comm_wait(c, g, 1, &r) != AD_OK) return AD_EIO;
    if (g != NULL && !ad_ok(g)) f.code = ad_error_code(g), snprintf(f.text, sizeof f.text, "%s", ad_error(g));
    rc = MPI_Ibcast(&f, (int)sizeof f, MPI_BYTE, least[0], c->frames, &r);
    if (rc != MPI_SUCCESS) return nn__comm_fail(c, g, rc, "telling of an error");
    if (nn__comm_wait(c, g, 1, &r) != AD_OK) return AD_EIO;
    c->ended = true;
    if (c->end != NULL) c->end(g, -(int64_t)least[1], c->bulk_data);
    return ad_fail(g, f.code, "rank %d: %s", least[0], f.text);
}

static bool has_fault(const nn__comm *c, const ad_graph *g) { return g == NULL || !ad_ok(g) || c->lost; }

/* The first message of each call: n <= ROOM numbers are added up with it. kind is the same on all ranks. */
static int frame(nn__comm *c, ad_graph *g, double kind, int64_t n, double *values) {
    double numbers[FRAME] = { has_fault(c, g), kind };
    MPI_Request r;
    double start = MPI_Wtime();
    if (n > 0) memcpy(numbers + HEAD, values, (size_t)n * sizeof *values);
    int rc = MPI_Iallreduce(MPI_IN_PLACE, numbers, FRAME, MPI_DOUBLE, MPI_SUM, c->frames, &r);
    if (rc != MPI_SUCCESS) return nn__comm_fail(c, g, rc, "adding up");
    if (nn__comm_wait(c, g, 1, &r) != AD_OK) return AD_EIO;
    c->figures.small += MPI_Wtime() - start;
    if (numbers[0] > 0) return share_fault(c, g, has_fault(c, g));
    if (numbers[1] != kind * c->size) {
        ad_fail(g, AD_EVALUE, "mpi: the ranks make different calls, or with arrays of different sizes");
        return share_fault(c, g, true);
    }
    if (n > 0) memcpy(values, numbers + HEAD, (size_t)n * sizeof *values);
    return AD_OK;
}

/* After an end the graph may have an error still, or none: whoever asks gets one. */
static int refuse(const nn__comm *c, ad_graph *g) {
    if (g == NULL) return AD_EVALUE;
    return c->lost ? ad_fail(g, AD_EIO, "mpi: an earlier call has lost a rank") : ad_error_code(g);
}

/* ---- calls ------------------------------------------------------------------------------------------------------- */

enum { KIND_SUM = 1, KIND_BROADCAST, KIND_GATHER, KINDS };
static double kind_of(int kind, int64_t n) { return (double)(kind + KINDS * (n % 1000003)); }

int nn__comm_sum(ad_graph *g, int64_t n, double *values, void *comm) {
    nn__comm *c = comm;
    MPI_Request r;
    if (c->ended) return refuse(c, g);
    int rc = frame(c, g, kind_of(KIND_SUM, n), n <= ROOM ? n : 0, values);
    double start = MPI_Wtime();
    for (int64_t from = 0, part; n > ROOM && from < n && rc == AD_OK; from += part) {
        part = n - from < 1 << 28 ? n - from : 1 << 28;
        rc = MPI_Iallreduce(MPI_IN_PLACE, values + from, (int)part, MPI_DOUBLE, MPI_SUM, c->frames, &r);
        rc = rc != MPI_SUCCESS ? nn__comm_fail(c, g, rc, "adding up") : nn__comm_wait(c, g, 1, &r);
    }
    c->figures.small += MPI_Wtime() - start;
    return rc;
}

/* In pieces whose size is an int. */
static int send_all(nn__comm *c, ad_graph *g, int root, size_t bytes, void *memory) {
    MPI_Request r;
    int rc = AD_OK;
    for (size_t from = 0, part; from < bytes && rc == AD_OK; from += part) {
        part = bytes - from < 1 << 30 ? bytes - from : 1 << 30;
        rc = MPI_Ibcast((char *)memory + from, (int)part, MPI_BYTE, root, c->frames, &r);
        rc = rc != MPI_SUCCESS ? nn__comm_fail(c, g, rc, "broadcasting") : nn__comm_wait(c, g, 1, &r);
    }
    return rc;
}

int nn__comm_broadcast_from(nn__comm *c, ad_graph *g, int root, size_t bytes, void *memory) {
    if (c->ended) return refuse(c, g);
    int rc = frame(c, g, kind_of(KIND_BROADCAST, (int64_t)bytes + root), 0, NULL);
    return rc == AD_OK ? send_all(c, g, root, bytes, memory) : rc;
}

int nn__comm_broadcast(ad_graph *g, size_t bytes, void *memory, void *comm) {
    return nn__comm_broadcast_from(comm, g, 0, bytes, memory);
}

int nn__comm_gather(ad_graph *g, const size_t *offsets, void *memory, void *comm) {
    nn__comm *c = comm;
    if (c->ended) return refuse(c, g);
    int rc = frame(c, g, kind_of(KIND_GATHER, ad_ok(g) ? (int64_t)offsets[c->size] : 0), 0, NULL);
    for (int r = 0; r < c->size && rc == AD_OK; r++)
        rc = send_all(c, g, r, offsets[r + 1] - offsets[r], (char *)memory + offsets[r]);
    return rc;
}

/* ---- beginning and end ------------------------------------------------------------------------------------------- */

static bool is_running(void) {
    int began = 0, ended = 0;
    MPI_Initialized(&began);
    if (began) MPI_Finalized(&ended);
    return began && !ended;
}

/* Copies of comm, whose ranks may still be busy elsewhere. */
static int copy_comm(nn__comm *c, ad_graph *g, MPI_Comm comm) {
    MPI_Request r[2];
    int rc = MPI_Comm_idup(comm, &c->frames, &r[0]);
    if (rc == MPI_SUCCESS) rc = MPI_Comm_idup(comm, &c->bulk, &r[1]);
    return rc == MPI_SUCCESS ? nn__comm_wait(c, g, 2, r) : nn__comm_fail(c, g, rc, "copying the communicator");
}

static int check_comm(nn__comm *c, ad_graph *g, MPI_Comm comm, double timeout) {
    *c = (nn__comm){ .ended = true, .frames = MPI_COMM_NULL, .bulk = MPI_COMM_NULL };
    c->timeout = ad_option(timeout, 300);
    if (!is_running())
        return ad_fail(g, AD_EVALUE, "mpi: MPI is not running: call MPI_Init before and MPI_Finalize after");
    if (comm == MPI_COMM_NULL) return ad_fail(g, AD_EVALUE, "mpi: the communicator is MPI_COMM_NULL");
    if (!(c->timeout > 0)) return ad_fail(g, AD_EVALUE, "mpi: timeout %g: above 0", timeout);
    MPI_Comm_rank(comm, &c->rank);
    MPI_Comm_size(comm, &c->size);
    return AD_OK;
}

int nn__comm_open(nn__comm *c, ad_graph *g, MPI_Comm comm, double timeout) {
    int rc = check_comm(c, g, comm, timeout);
    if (rc == AD_OK) rc = copy_comm(c, g, comm);
    if (rc != AD_OK) return rc;
    MPI_Comm_set_errhandler(c->frames, MPI_ERRORS_RETURN);
    MPI_Comm_set_errhandler(c->bulk, MPI_ERRORS_RETURN);
    c->ended = false;
    return AD_OK;
}

int nn__comm_borrow(nn__comm *c, ad_graph *g, MPI_Comm comm, double timeout) {
    int rc = check_comm(c, g, comm, timeout);
    if (rc != AD_OK) return rc;
    MPI_Comm_get_errhandler(comm, &c->before);
    MPI_Comm_set_errhandler(comm, MPI_ERRORS_RETURN);
    c->frames = c->bulk = comm;
    c->borrowed = true, c->ended = false;
    return AD_OK;
}

/* MPI_Comm_free waits for nobody, as no operation is under way; where a rank is lost, the copies stay. */
void nn__comm_close(nn__comm *c, ad_graph *g) {
    (void)g;
    c->ended = true;
    if (c->borrowed) {
        MPI_Comm_set_errhandler(c->frames, c->before);
        MPI_Errhandler_free(&c->before);
        return;
    }
    if (c->lost || c->frames == MPI_COMM_NULL) return;
    MPI_Comm_free(&c->frames);
    MPI_Comm_free(&c->bulk);
}

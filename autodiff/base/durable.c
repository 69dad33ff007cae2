/* durable.c: writes a file under a temporary name of its own, forces it to disk and renames it.

   A writer holds a lock on its temporary file (flock), which ends with the process. So a temporary file that can be
   locked was left by a writer that was killed, in this process, another one or another container. A name is removed or
   renamed only by the one who holds the lock of the file that it names. */
#define _POSIX_C_SOURCE 200809L
#include "autodiff/base/durable.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "autodiff/base/fault.h"

/* ---- names ------------------------------------------------------------------------------------------- */

static const char MARK[] = ".autodiff-"; /* NAME.autodiff-PROCESS-NUMBER.tmp */

/* The bytes of a path before the name in its folder. */
static size_t folder_size(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? (size_t)(slash - path) + 1 : 0;
}

/* The folder of a path, for opendir and open. */
static void folder_of(const char *path, char to[AD__PATH]) {
    size_t n = folder_size(path);
    memcpy(to, n > 0 ? path : ".", n > 0 ? n : 1);
    to[n > 0 ? n : 1] = '\0';
}

/* The bytes of a name that its temporary names begin with: file systems restrict the length of a name. */
static size_t stem_size(const char *name) {
    enum { MOST = 200 };
    size_t n = strlen(name);
    if (n <= MOST) return n;
    for (n = MOST; n > 1 && ((unsigned char)name[n] & 0xc0) == 0x80; n--) {} /* whole characters of UTF-8 */
    return n;
}

static const char *after_digits(const char *text) {
    const char *end = text;
    while (isdigit((unsigned char)*end)) end++;
    return end > text ? end : "";
}

static bool is_temporary_of(const char *name, const char *entry) {
    size_t n = stem_size(name), mark = sizeof MARK - 1;
    if (strncmp(entry, name, n) != 0 || strncmp(entry + n, MARK, mark) != 0) return false;
    const char *at = after_digits(entry + n + mark);
    return *at == '-' && strcmp(after_digits(at + 1), ".tmp") == 0;
}

/* ---- what is replaced -------------------------------------------------------------------------------- */

/* Replaces the path of a symbolic link by what it holds; false, with errno, after a fault. */
static bool follow(char path[AD__PATH]) {
    char held[AD__PATH];
    ssize_t n = readlink(path, held, sizeof held);
    if (n < 0) return false;
    size_t from = held[0] == '/' ? 0 : folder_size(path);
    if (from + (size_t)n >= AD__PATH) return errno = ENAMETOOLONG, false;
    memcpy(path + from, held, (size_t)n);
    path[from + (size_t)n] = '\0';
    return true;
}

/* to = the file that path means, behind symbolic links; *about says what it is, with st_mode 0 where it is new. NULL,
   or the text of a fault. */
static const char *resolve(const char *path, char to[AD__PATH], struct stat *about) {
    enum { MOST_LINKS = 40 };
    if (*path == '\0') return ad__fault_of(ENOENT);
    if (strlen(path) >= AD__PATH) return ad__fault_of(ENAMETOOLONG);
    strcpy(to, path);
    for (int i = 0; i < MOST_LINKS; i++) {
        about->st_mode = 0;
        if (lstat(to, about) != 0) return errno == ENOENT ? NULL : ad__fault_of(errno);
        if (!S_ISLNK(about->st_mode)) return ad__mode_fault(about->st_mode);
        if (!follow(to)) return ad__fault_of(errno);
    }
    return ad__fault_of(ELOOP);
}

/* ---- temporary files --------------------------------------------------------------------------------- */

/* Removes the file unless its writer lives, who holds the lock. */
static void remove_dead(int folder, const char *name) {
    struct stat held, named;
    int fd = openat(folder, name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0) return;
    bool ours = fstat(fd, &held) == 0 && S_ISREG(held.st_mode) && flock(fd, LOCK_EX | LOCK_NB) == 0 &&
                fstatat(folder, name, &named, AT_SYMLINK_NOFOLLOW) == 0 && named.st_dev == held.st_dev &&
                named.st_ino == held.st_ino;
    if (ours) unlinkat(folder, name, 0);
    close(fd);
}

static void remove_dead_writers_files(const char *path) {
    char folder[AD__PATH];
    folder_of(path, folder);
    DIR *all = opendir(folder);
    if (all == NULL) return;
    for (const struct dirent *e; (e = readdir(all)) != NULL;)
        if (is_temporary_of(path + folder_size(path), e->d_name)) remove_dead(dirfd(all), e->d_name);
    closedir(all);
}

/* Takes the lock; false where another writer took the file for a dead one's and removed it before. File systems without
   locks have no removal either. */
static bool hold(int fd) {
    struct stat about;
    while (flock(fd, LOCK_EX) != 0 && errno == EINTR) {}
    return fstat(fd, &about) != 0 || about.st_nlink > 0;
}

/* A descriptor of a new file, -1 with errno after a fault. */
static int create(ad__durable *d, mode_t mode) {
    enum { TRIES = 10000 };
    size_t before = folder_size(d->path);
    int stem = (int)(before + stem_size(d->path + before));
    for (int i = 0; i < TRIES; i++) {
        int n = snprintf(d->temporary, AD__PATH, "%.*s%s%ld-%d.tmp", stem, d->path, MARK, (long)getpid(), i);
        if (n < 0 || n >= AD__PATH) return errno = ENAMETOOLONG, -1;
        int fd = open(d->temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
        if (fd < 0 && errno != EEXIST) return -1;
        if (fd >= 0 && hold(fd)) return fd;
        if (fd >= 0) close(fd);
    }
    return errno = EEXIST, -1;
}

/* Gives the file the owner, as far as this user may, and the access rights of the one that it replaces. */
static bool take_rights(int fd, const struct stat *replaced) {
    struct stat own;
    if (replaced->st_mode == 0) return true;
    if (fstat(fd, &own) != 0) return false;
    bool same = own.st_uid == replaced->st_uid && own.st_gid == replaced->st_gid;
    if (!same && fchown(fd, replaced->st_uid, replaced->st_gid) != 0) errno = 0;
    return fchmod(fd, replaced->st_mode & 0777) == 0;
}

/* ---- the calls --------------------------------------------------------------------------------------- */

const char *ad__durable_open(ad__durable *d, const char *path) {
    struct stat replaced;
    d->to = NULL;
    const char *fault = resolve(path, d->path, &replaced);
    if (fault != NULL) return fault;
    remove_dead_writers_files(d->path);
    int fd = create(d, replaced.st_mode ? 0600 : 0666);
    if (fd < 0) return ad__fault_of(errno);
    d->to = take_rights(fd, &replaced) ? fdopen(fd, "wb") : NULL;
    if (d->to != NULL) return errno = 0, NULL; /* a write that fails sets it: see ad__durable_close */
    fault = ad__fault_of(errno);
    unlink(d->temporary);
    close(fd);
    return fault;
}

void ad__durable_drop(ad__durable *d) {
    unlink(d->temporary);
    fclose(d->to);
}

/* A rename is on disk once the folder is. Some file systems cannot sync a folder: that is no error. */
static void sync_folder(const char *path) {
    char folder[AD__PATH];
    folder_of(path, folder);
    int fd = open(folder, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return;
    fsync(fd);
    close(fd);
}

static const char *sync_file(ad__durable *d) {
    bool good = !ferror(d->to) && fflush(d->to) == 0 && fsync(fileno(d->to)) == 0;
    return good ? NULL : ad__fault_of(errno);
}

/* The renames are next to each other, so that a kill rarely comes between. The locks are held until the names are
   gone. */
const char *ad__durable_close_all(int n, ad__durable files[], int *at) {
    const char *fault = NULL;
    int renamed = 0;
    for (*at = 0; *at < n; ++*at)
        if ((fault = sync_file(&files[*at])) != NULL) break;
    for (; fault == NULL && renamed < n; renamed++) {
        *at = renamed;
        if (rename(files[renamed].temporary, files[renamed].path) != 0) fault = ad__fault_of(errno);
        if (fault != NULL) break;
    }
    for (int i = renamed; i < n; i++) ad__durable_drop(&files[i]);
    for (int i = 0; i < renamed; i++) {
        sync_folder(files[i].path);
        fclose(files[i].to);
    }
    return fault;
}

const char *ad__durable_close(ad__durable *d) {
    int at;
    return ad__durable_close_all(1, d, &at);
}

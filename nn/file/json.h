/* json.h: JSON, read in the memory of its text: nothing is allocated, so nothing fails for want of memory; private to
   nn. */
#ifndef NN_FILE_JSON_H
#define NN_FILE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* NULL if the n bytes are one JSON value, in UTF-8, without a NUL in a string and nested at most 64 deep. Otherwise
   what is wrong. The calls below are for texts without a fault. */
const char *nn__json_fault(const char *text, size_t n);

/* Each call reads at a cursor and moves it. The first character of a value says what it is: { [ " t f n - or a digit.
   */
char nn__json_kind(char **at);
/* Enters an object or an array, and goes on behind one of its values: true if another value follows, or its key. False
   at the end, which it passes. */
bool nn__json_enter(char **at);
bool nn__json_more(char **at);
/* A string or a key, decoded in place and closed by NUL. The text around it can no longer be read from before it. */
char *nn__json_string(char **at);
char *nn__json_key(char **at);
/* A number; false where it is not an integer, or not an int64_t. */
bool nn__json_integer(char **at, int64_t *to);
void nn__json_skip(char **at); /* any value */
int nn__json_count(char *at);  /* values, or keys, of the object or array at the cursor */

/* The bytes of the character that the n bytes begin with; 0 if they begin with none. */
int nn__utf8_size(const char *text, size_t n);

#endif

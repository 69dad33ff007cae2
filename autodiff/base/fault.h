/* fault.h: what went wrong with a file, as a text; private to the library. */
#ifndef AUTODIFF_BASE_FAULT_H
#define AUTODIFF_BASE_FAULT_H

/* A fault is the text of an errno, or another text that lives as long as the program. NULL: no fault. */
extern const char ad__out_of_memory[];

const char *ad__fault_of(int error);       /* the fault of an errno; 0 counts as EIO */
const char *ad__mode_fault(unsigned mode); /* NULL, or why what has this st_mode is neither read nor replaced */

#endif

/* page.h: marks the functions that the page calls. */
#ifndef DEMOS_WEB_PAGE_H
#define DEMOS_WEB_PAGE_H

/* The linker keeps and exports them under their own names. Only the page calls them, so no header declares them. */
#define PAGE __attribute__((used, visibility("default")))
#pragma GCC diagnostic ignored "-Wmissing-prototypes"

#endif

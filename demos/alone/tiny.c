/* tiny.c: runs the network that `tiny --export FOLDER` wrote, on the images beside it; see docs/tiny.md. */
#include <stdio.h>

#include "images.h"
#include "net.h"

/* The largest of the ten results is the digit. */
static int recognise(const unsigned char *pixels) {
    static float x[NET_X], work[NET_WORK];
    float y[NET_Y];
    int best = 0;
    for (int i = 0; i < NET_X; i++) x[i] = (float)pixels[i] / 255;
    net(x, y, work);
    for (int i = 1; i < NET_Y; i++)
        if (y[i] > y[best]) best = i;
    return best;
}

int main(void) {
    int right = 0;
    for (int i = 0; i < IMAGES; i++) right += recognise(image[i]) == digit[i];
    printf("%d of %d digits recognised\n", right, IMAGES);
    return 10 * right >= 9 * IMAGES ? 0 : 1;
}

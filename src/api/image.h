/* An image as the public API hands it out. Private to src/api. */
#ifndef QW_API_IMAGE_H
#define QW_API_IMAGE_H

#include "image/image.h"

struct qwren_image {
    qw_pixels pixels;
};

#endif

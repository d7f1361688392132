#include "base/launcher.h"

#include <stdlib.h>

bool launcher_present(void) {
    return getenv("OMPI_COMM_WORLD_RANK") || getenv("PMIX_RANK") || getenv("PMI_RANK");
}

// SPDX-License-Identifier: Apache-2.0
#define SUFFICE_SET portable
#define SUFFICE_TABLE RowKernelsPortable
#include "kernels/cpu/row_kernels-inl.h"

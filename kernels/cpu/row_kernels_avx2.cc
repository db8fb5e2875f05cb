// SPDX-License-Identifier: Apache-2.0
#define SUFFICE_SET avx2
#define SUFFICE_TABLE RowKernelsAvx2
#include "kernels/cpu/row_kernels-inl.h"

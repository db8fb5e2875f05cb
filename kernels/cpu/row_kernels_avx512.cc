// SPDX-License-Identifier: Apache-2.0
#define SUFFICE_SET avx512
#define SUFFICE_TABLE RowKernelsAvx512
#include "kernels/cpu/row_kernels-inl.h"

// SPDX-License-Identifier: Apache-2.0
// The large arrays of a checkpoint in files of their own. CHECKPOINT names its shards,
// CHECKPOINT.G-NNNN, where G counts the times that shards were written: a new set is whole on the
// disk before CHECKPOINT is replaced by one that names it, and only then is the old set removed. So
// a process that is killed at any moment leaves a checkpoint with all of its shards.
//
// A shard is a tensor file of encoding type checkpoint with arrays under /state/arrays; /run has
// the attribute shard, "ID I/N", which its checkpoint repeats.
#pragma once

#include <string>
#include <vector>

#include "lib/io/tensor_file.h"
#include "lib/nn/parameter.h"

namespace suffice {

// Writes `arrays`, in order, into as many shards of at most `bytes` as that takes (an array is
// never cut), and names them in `checkpoint`. `id` is unlike that of any other set.
void WriteShards(TensorWriter* checkpoint, const std::string& checkpoint_path,
                 const FileHeader& header, const std::string& id,
                 const std::vector<NamedArray>& arrays, uint64_t bytes);

// All arrays of a checkpoint, out of itself or of its shards. Throws kData naming the shard that is
// missing, damaged or another checkpoint's.
std::vector<NamedArray> ReadArrays(const TensorReader& checkpoint);
void WriteArrays(TensorWriter* checkpoint, const std::vector<NamedArray>& arrays);

// Removes the shards beside `checkpoint_path` that it does not name, temporaries of killed writers
// included; all of them if there is no such file.
void RemoveOtherShards(const std::string& checkpoint_path);

}  // namespace suffice

// SPDX-License-Identifier: Apache-2.0
// The keys of the model's and the trainer's config structs.
#pragma once

#include "lib/config/fields.h"
#include "lib/model/flow_trainer.h"
#include "lib/model/video_dit.h"

namespace suffice {

void Visit(Fields& f, VideoDitConfig& c);
void Visit(Fields& f, AdamWConfig& c);
void Visit(Fields& f, TimeLaw& c);

}  // namespace suffice

// SPDX-License-Identifier: Apache-2.0
// Stopping on request. With checkpoints: the first SIGTERM, SIGINT or SIGUSR1 sets a flag that the
// work looks at, a second ends the process at once. Without: the first ends it. Ending removes the
// temporaries of unfinished outputs and dies of the signal, so that a shell sees 128 + n. So does a
// crash, a closed pipe or a hang-up. A file-size limit is no signal but a failed write.
#pragma once

namespace suffice {

void InstallSignalHandlers(bool resumable);
bool StopSignalled();
int StopSignal();      // the signal, or 0
void ForgetSignals();  // for tests: clears the flag and restores the defaults

}  // namespace suffice

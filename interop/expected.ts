/**
 * Cases that are known to fail, each with its reason, which the ledger prints. An entry whose case passes is
 * itself a failure, so that this list cannot outlive its reasons.
 */
export interface ExpectedFailure {
  client: string
  case: string
  reason: string
}

export const expectedFailures: readonly ExpectedFailure[] = []

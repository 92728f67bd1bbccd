/** The store did what the model does not allow. */
export class SimulationFailure extends Error {}

export function check(condition: boolean, message: () => string): asserts condition {
  if (!condition) throw new SimulationFailure(message())
}

/**
 * Runs work once at the end of the event-loop turn in which it was asked for.
 *
 * Responses that become ready in one turn, of one connection or of fifty whose records went to disk in the
 * same write, are collected and each socket is written to once. A write per response costs several times as
 * much as the response itself.
 */
export interface TurnEndTask {
  runAtTurnEnd(): void
}

export class TurnEnd {
  #tasks: TurnEndTask[] = []
  #spare: TurnEndTask[] = []
  #scheduled = false

  /** The caller asks once per turn; asking twice runs the task twice. */
  schedule(task: TurnEndTask): void {
    this.#tasks.push(task)
    if (this.#scheduled) return
    this.#scheduled = true
    setImmediate(this.#run)
  }

  readonly #run = (): void => {
    const tasks = this.#tasks
    this.#tasks = this.#spare
    this.#scheduled = false
    for (const task of tasks) task.runAtTurnEnd()
    tasks.length = 0
    this.#spare = tasks
  }
}

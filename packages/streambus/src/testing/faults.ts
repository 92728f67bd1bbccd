import type { InterceptedRequest, OwnedScheduler, RequestInterceptor } from '@streambus/broker'
import { apis, ErrorCode, type ErrorName, errors } from '@streambus/protocol'
import { invalidArgument, positive, wholeNumber } from './arguments.ts'
import { checkNames } from './option-names.ts'
import { inOpenSession, REFUSABLE_APIS, type RefusableApi, refusals, SESSION_GONE } from './refusals.ts'

export interface FaultTarget {
  /** Only the client that calls itself so. Default: every client, other than the test broker's own helpers. */
  clientId?: string
}

export interface Refusal extends FaultTarget {
  api: RefusableApi
  /** Kafka's name or number of the error. */
  errorCode: ErrorName | number
  /** How many requests. Default: all, until `clear`. */
  times?: number
}

export interface Delay extends FaultTarget {
  /** Kafka's name of the API: 'Fetch', 'CreateTopics'. */
  api: string
  /** By the clock of the broker: where that is virtual, until it is advanced so far. */
  delayMs: number
  /** How many requests. Default: all, until `clear`. */
  times?: number
}

/**
 * What goes wrong on demand, at the broker's end of real connections. Delays and refusals concern requests that
 * come after the call: a long poll that the broker is waiting in already is answered as ever.
 */
export interface Faults {
  /**
   * Closes connections, now, with whatever is being asked on them; clients may connect again. Returns how many
   * there were. A client that has not sent a request yet is not known.
   */
  dropConnections(target?: FaultTarget): number
  /** Holds requests up before they are executed, and with them what their connection sent after them. */
  delay(delay: Delay): void
  /**
   * Answers requests with an error instead of executing them: in each partition, topic, group or key where the
   * API has its errors there, else in the answer. Throws INVALID_ARGUMENT for an API without such an answer.
   */
  refuse(refusal: Refusal): void
  /**
   * Refuses the next so many produce requests. With the default error, KAFKA_STORAGE_ERROR, producers try again
   * by themselves; to see a send fail take one that is not retriable, such as `TOPIC_AUTHORIZATION_FAILED`.
   */
  failProduces(times: number, options?: FaultTarget & { errorCode?: ErrorName | number }): void
  /** Ends all refusals and delays; what is held up goes on. */
  clear(): void
}

/** A fault that is in force. */
interface Rule {
  readonly apiKey: number
  readonly clientId: string | undefined
  remaining: number
}

interface DelayRule extends Rule {
  readonly delayMs: number
}

interface RefusalRule extends Rule {
  readonly api: RefusableApi
  readonly errorCode: number
}

type Requester = InterceptedRequest['requester']

/** Faults as the broker meets them: an interceptor of its requests. */
export class FaultInjection implements Faults {
  readonly #scheduler: OwnedScheduler
  /** Requests of this client meet no fault. */
  readonly #exempt: string
  #delays: DelayRule[] = []
  #refusals: RefusalRule[] = []
  /** Ends the wait of each request that is held up: true where it goes on. */
  readonly #held = new Set<(goesOn: boolean) => void>()
  /** Who is connected, and was so when somebody new came. */
  readonly #connections = new Map<Requester, string | null>()

  constructor(scheduler: OwnedScheduler, exempt: string) {
    this.#scheduler = scheduler
    this.#exempt = exempt
  }

  dropConnections(target: FaultTarget = {}): number {
    checkNames('dropConnections', target, ['clientId'])
    const { clientId } = target
    let dropped = 0
    for (const [connection, client] of this.#connections) {
      if (connection.isClosed || !this.#concerns(clientId, client)) continue
      connection.close()
      dropped++
    }
    this.#forgetClosed()
    return dropped
  }

  delay(delay: Delay): void {
    checkNames('delay', delay, ['api', 'clientId', 'delayMs', 'times'])
    const { api, clientId, delayMs, times } = delay
    const found = apis.find(({ name }) => name === api)
    if (found === undefined) {
      throw invalidArgument(
        `There is no API '${String(api)}' to delay; there are ${apis.map(({ name }) => name).join(', ')}.`,
      )
    }
    const remaining = timesOf(times)
    this.#delays.push({ apiKey: found.key, clientId, delayMs: positive('delayMs', delayMs), remaining })
  }

  refuse(refusal: Refusal): void {
    checkNames('refuse', refusal, ['api', 'clientId', 'errorCode', 'times'])
    const { api, clientId, errorCode, times } = refusal
    if (!REFUSABLE_APIS.includes(api)) {
      throw invalidArgument(
        `'${String(api)}' cannot be refused with an error code; these can: ${REFUSABLE_APIS.join(', ')}.`,
      )
    }
    const { key } = apis.find(({ name }) => name === api)!
    const remaining = timesOf(times)
    this.#refusals.push({ api, apiKey: key, clientId, errorCode: codeOf(errorCode), remaining })
  }

  failProduces(times: number, options: FaultTarget & { errorCode?: ErrorName | number } = {}): void {
    checkNames('failProduces', options, ['clientId', 'errorCode'])
    const { errorCode = 'KAFKA_STORAGE_ERROR', ...target } = options
    this.refuse({ ...target, api: 'Produce', errorCode, times: wholeNumber('times', times) })
  }

  clear(): void {
    this.#delays = []
    this.#refusals = []
    this.release()
  }

  /** What is held up at this moment goes on. */
  release(): void {
    for (const end of [...this.#held]) end(true)
  }

  /** Cuts everybody off, and executes nothing of what they have asked: the broker ends at this moment. */
  cutOff(): void {
    for (const connection of this.#connections.keys()) connection.close()
    this.#connections.clear()
    for (const end of [...this.#held]) end(false)
  }

  /** What is held up goes on, and nothing is held up after it. */
  close(): void {
    this.clear()
    this.#scheduler.close()
  }

  readonly interceptor: RequestInterceptor = (request, handle) => {
    const { requester, clientId } = request
    if (!this.#connections.has(requester)) {
      this.#forgetClosed()
      this.#connections.set(requester, clientId)
    }
    const delay = this.#take(this.#delays, request)
    if (delay === undefined) return this.#refuseOrHandle(request, handle)
    return this.#hold(delay.delayMs).then((goesOn) => {
      if (goesOn) return this.#refuseOrHandle(request, handle)
      // Its connection is gone, which is the only answer.
      requester.close()
      return null
    })
  }

  #refuseOrHandle(
    request: InterceptedRequest,
    handle: Parameters<RequestInterceptor>[1],
  ): ReturnType<RequestInterceptor> {
    const rule = this.#refusals.find((one) => this.#matches(one, request))
    if (rule === undefined) return handle(request.body)
    if (inOpenSession(request)) return SESSION_GONE
    rule.remaining--
    const refuse = refusals[rule.api]
    const answer = refuse(request.body as never, request, rule.errorCode, handle)
    if (answer === undefined) {
      // It stays in force.
      rule.remaining++
      return handle(request.body)
    }
    return answer
  }

  #take<R extends Rule>(rules: readonly R[], request: InterceptedRequest): R | undefined {
    const rule = rules.find((one) => this.#matches(one, request))
    if (rule !== undefined) rule.remaining--
    return rule
  }

  #matches({ apiKey, clientId, remaining }: Rule, request: InterceptedRequest): boolean {
    return remaining > 0 && apiKey === request.api.key && this.#concerns(clientId, request.clientId)
  }

  #concerns(wanted: string | undefined, clientId: string | null): boolean {
    return clientId !== this.#exempt && (wanted === undefined || wanted === clientId)
  }

  /** Resolves with whether the request goes on. */
  #hold(delayMs: number): Promise<boolean> {
    return new Promise((resolve) => {
      const end = (goesOn: boolean) => {
        timer.cancel()
        this.#held.delete(end)
        resolve(goesOn)
      }
      const timer = this.#scheduler.after(delayMs, () => end(true))
      this.#held.add(end)
    })
  }

  #forgetClosed(): void {
    for (const connection of this.#connections.keys()) {
      if (connection.isClosed) this.#connections.delete(connection)
    }
  }
}

function timesOf(times: number | undefined): number {
  return times === undefined ? Number.POSITIVE_INFINITY : wholeNumber('times', times)
}

function codeOf(error: ErrorName | number): number {
  const known = errors.find(({ code, name }) => code === error || name === error)
  if (known !== undefined && known.code !== ErrorCode.NONE) return known.code
  throw invalidArgument(
    `'${String(error)}' is no error of Kafka's protocol; write its name, 'NOT_COORDINATOR', or its number, 16.`,
  )
}

/** What members of both protocols have in common: they commit for what they own, and tell when they lose it. */
import { setTimeout as delay } from 'node:timers/promises'
import { errorByCode, offsetCommit } from '@streambus/protocol'
import { RawConnection } from '../../../bench/wire/raw-connection.ts'
import { assertNoError } from '../../../bench/wire/topics.ts'
import { wasKilled } from '../killed.ts'
import { type CommittedOffsets, checkOffsets, metadataOf } from './committed-offsets.ts'

export interface MemberSpec {
  readonly name: string
  readonly group: string
  readonly offsets: CommittedOffsets
  /**
   * True from when on the members of the group are always the same: then no error may take their places from
   * them, however often the broker is killed.
   */
  readonly steady: () => boolean
  readonly onFault: (fault: string) => void
  readonly onFailure: (error: Error) => void
}

const COMMIT_VERSION = 9
const PAUSE_MS = 4

export abstract class Member {
  /** Partitions this member owns, and commits for. */
  owned: readonly number[] = []
  protected readonly spec: MemberSpec
  protected memberId = ''
  /** Generation of a classic group, member epoch of a consumer group. */
  protected generation = -1
  #connection: RawConnection | undefined

  constructor(spec: MemberSpec) {
    this.spec = spec
  }

  get group(): string {
    return this.spec.group
  }

  get id(): string {
    return this.memberId
  }

  /** True while it has its place in the group as far as it knows. */
  abstract get hasPlace(): boolean

  /** What orders the generations of the group, the same for all its members when it is settled. */
  get place(): number {
    return this.generation
  }

  /** Takes part until `running` says no or the connection ends. */
  async run(port: number, running: () => boolean): Promise<void> {
    try {
      const connection = await RawConnection.open(port)
      this.#connection = connection
      this.attached()
      while (running()) {
        await this.takePart(connection)
        if (this.hasPlace) await this.#commit(connection)
        await delay(PAUSE_MS)
      }
    } catch (error) {
      if (!wasKilled(error)) this.spec.onFailure(error as Error)
    } finally {
      this.close()
    }
  }

  /** Ends what waits for an answer. */
  close(): void {
    this.#connection?.close()
  }

  /** Called when a new connection stands, after the last one broke. */
  protected abstract attached(): void

  /** Sends what keeps the member in the group, or brings it there. */
  protected abstract takePart(connection: RawConnection): Promise<void>

  /** A commit was refused with a code that is neither success nor retriable. */
  protected abstract refused(errorCode: number): void

  /** The member has to join again; a fault where nothing may make it. */
  protected losePlace(errorCode: number): void {
    const { name, group, steady, onFault } = this.spec
    if (steady()) {
      onFault(`member ${name} of group ${group} lost its place: ${errorByCode(errorCode).name}`)
    }
    this.owned = []
  }

  /** Takes partitions over from where their last owner stopped. */
  protected async own(connection: RawConnection, partitions: readonly number[]): Promise<void> {
    const { group, offsets, onFault } = this.spec
    const gained = new Set(partitions.filter((partition) => !this.owned.includes(partition)))
    const histories = offsets.of(group).filter(({ partition }) => gained.has(partition))
    const faults = await checkOffsets(connection, offsets.topic, histories)
    for (const fault of faults) onFault(`taking over: ${fault}`)
    this.owned = partitions
  }

  async #commit(connection: RawConnection): Promise<void> {
    const { group, offsets } = this.spec
    if (this.owned.length === 0) return
    const sent = this.owned.map((partition) => {
      const history = offsets.of(group)[partition]!
      return { history, offset: history.next() }
    })
    const { topics } = await connection.request(offsetCommit, COMMIT_VERSION, {
      groupId: group,
      memberId: this.memberId,
      generationIdOrMemberEpoch: this.generation,
      topics: [
        {
          name: offsets.topic,
          partitions: sent.map(({ history, offset }) => ({
            partitionIndex: history.partition,
            committedOffset: BigInt(offset),
            committedLeaderEpoch: 0,
            committedMetadata: metadataOf(offset),
          })),
        },
      ],
    })
    const codes = new Map(topics[0]?.partitions.map((answer) => [answer.partitionIndex, answer.errorCode]))
    for (const { history, offset } of sent) {
      const errorCode = codes.get(history.partition)
      if (errorCode === 0) {
        history.promised = Math.max(history.promised, offset)
        continue
      }
      if (errorCode === undefined) assertNoError(errorCode, `committing for group ${group}`)
      if (errorByCode(errorCode!).retriable) continue
      this.refused(errorCode!)
      return
    }
  }
}

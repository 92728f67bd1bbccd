import { ErrorCode } from '@streambus/protocol'
import type { TopicCatalog } from '@streambus/storage'
import { isInternalTopic } from '../../coordinator/internal-topics.ts'
import { expressionSize } from '../../expression-size.ts'
import { GroupRefusal } from '../group-refusal.ts'

const MAX_REGEX_LENGTH = 1000
/** Of `expressionSize`: as much as the longest expression can have without a count. */
const MAX_REGEX_SIZE = 1000
/** Expressions kept compiled; the one unused for longest makes room. */
const MAX_COMPILED = 1000

/** One for all brokers of the process: once it is there, nothing waits for the loader again. */
let engine: Promise<typeof import('re2js')> | undefined

/** What is needed of a compiled expression. */
interface Pattern {
  matches(name: string): boolean
}

interface Compiled {
  readonly pattern: Pattern
  /** The version of the catalog that `topics` is of. */
  version: number
  topics: readonly string[]
}

/**
 * Subscriptions by regular expression, with the syntax of RE2 as in Kafka: no look-around and no
 * back-references, so that matching takes time linear in the length of a topic name whatever the expression.
 * The engine is loaded when the first expression comes.
 */
export class TopicRegexes {
  readonly #compiled = new Map<string, Compiled>()
  #compile: ((regex: string) => Pattern) | undefined

  get isLoaded(): boolean {
    return this.#compile !== undefined
  }

  /** To be awaited before anything else. */
  async load(): Promise<void> {
    if (this.#compile !== undefined) return
    engine ??= import('re2js')
    const { RE2JS } = await engine
    this.#compile = (regex) => RE2JS.compile(regex)
  }

  /** Throws GroupRefusal INVALID_REGULAR_EXPRESSION with the reason. */
  check(regex: string): void {
    this.#lookUp(regex)
  }

  /**
   * The topics whose whole name the expression matches, ascending. Internal topics are left out: a group that
   * consumed its own commits would never come to rest. Throws as `check` does.
   */
  resolve(regex: string, topics: TopicCatalog): readonly string[] {
    const compiled = this.#lookUp(regex)
    if (compiled.version !== topics.version) {
      const names: string[] = []
      for (const { name } of topics.all()) {
        if (!isInternalTopic(name) && compiled.pattern.matches(name)) names.push(name)
      }
      compiled.topics = names.sort()
      compiled.version = topics.version
    }
    return compiled.topics
  }

  #lookUp(regex: string): Compiled {
    let compiled = this.#compiled.get(regex)
    if (compiled === undefined) {
      compiled = { pattern: this.#compileOrRefuse(regex), version: -1, topics: [] }
      if (this.#compiled.size === MAX_COMPILED) this.#compiled.delete(this.#compiled.keys().next().value!)
    } else {
      this.#compiled.delete(regex)
    }
    this.#compiled.set(regex, compiled)
    return compiled
  }

  #compileOrRefuse(regex: string): Pattern {
    if (regex.length > MAX_REGEX_LENGTH) {
      throw new GroupRefusal(
        ErrorCode.INVALID_REGULAR_EXPRESSION,
        `SubscribedTopicRegex has ${regex.length} characters; it may have ${MAX_REGEX_LENGTH}.`,
      )
    }
    const size = expressionSize(regex)
    if (size > MAX_REGEX_SIZE) {
      throw new GroupRefusal(
        ErrorCode.INVALID_REGULAR_EXPRESSION,
        `SubscribedTopicRegex '${regex}' has ${size} parts when its counts are written out; it may have ${MAX_REGEX_SIZE}.`,
      )
    }
    try {
      return this.#compile!(regex)
    } catch (error) {
      // The engine throws its own kinds of errors, and only for what it reads in the expression.
      const reason = error instanceof Error ? error.message : String(error)
      throw new GroupRefusal(
        ErrorCode.INVALID_REGULAR_EXPRESSION,
        `SubscribedTopicRegex '${regex}' is not a regular expression: ${reason}.`,
      )
    }
  }
}

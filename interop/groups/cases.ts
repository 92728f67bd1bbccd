/** The cases about consumer groups: every client in every way of rebalancing it has. */
import type { InteropClient } from '../client.ts'
import type { Ledger } from '../ledger.ts'
import type { Target } from '../target.ts'
import { groupClients, type Variant, variants } from './clients.ts'
import { GroupScenario } from './scenario.ts'

const titles: Readonly<Record<Variant, string>> = {
  eager: 'eager',
  cooperative: 'cooperative-sticky',
  static: 'static members',
  consumer: 'group.protocol=consumer',
}

/** Records of a group, by variant. */
const records: Readonly<Record<Variant, number>> = {
  eager: 100_000,
  cooperative: 30_000,
  static: 30_000,
  consumer: 30_000,
}

/** Groups of one wave live at the same time and lose their broker at the same time. */
const waves: readonly (readonly Variant[])[] = [['eager'], ['cooperative', 'static', 'consumer']]

export interface GroupCasesOptions {
  readonly target: Target
  readonly ledger: Ledger
  readonly run: string
  readonly sender: InteropClient
  /** Where the members of a client write their standard error. */
  logFileOf(client: string): string
  wanted(client: string): boolean
}

export async function runGroupCases(options: GroupCasesOptions): Promise<void> {
  const { target, ledger, run, sender, logFileOf, wanted } = options
  const clients = groupClients.filter(({ name }) => wanted(name))
  for (const client of clients) {
    for (const variant of client.variants ?? variants) {
      const reason = client.missing[variant]
      if (reason !== undefined) ledger.notApplicable(client.name, `group, ${titles[variant]}`, reason)
    }
  }
  for (const wave of waves) {
    const scenarios = clients.flatMap((client) =>
      wave
        .filter((variant) => client.variants?.includes(variant) ?? client.missing[variant] === undefined)
        .map(
          (variant) =>
            new GroupScenario(client, variant, {
              bootstrap: target.bootstrap,
              run,
              sender,
              records: records[variant],
              logFile: logFileOf(client.name),
            }),
        ),
    )
    if (scenarios.length === 0) continue
    try {
      for (const scenario of scenarios) await scenario.createTopic()
      const each = async (name: string, step: (scenario: GroupScenario) => Promise<unknown>) => {
        await Promise.all(
          scenarios.map((scenario) =>
            ledger.run(scenario.client.name, `group, ${titles[scenario.variant]}: ${name}`, () =>
              step(scenario),
            ),
          ),
        )
      }
      const changes = (variant: readonly Variant[]) =>
        variant.includes('static') ? 'members come, go, return and die' : 'members come, go and die'
      await each(changes(wave), (scenario) => scenario.comeAndGo())
      await target.kill9()
      await target.restart()
      await each('every record processed, one owner at a time, over kill -9 of the broker', (scenario) =>
        scenario.afterBrokerKill(),
      )
      await each('continues where it stopped', (scenario) => scenario.continueWhereStopped())
    } finally {
      await Promise.all(scenarios.map((scenario) => scenario.end()))
    }
  }
}

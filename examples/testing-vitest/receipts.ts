import type { StreamBus } from 'streambus'

export interface Order {
  id: number
  cents: number
}

/** Writes a receipt for each order, until the signal fires. */
export async function writeReceipts(bus: StreamBus, signal: AbortSignal): Promise<void> {
  const receipts = bus.producer()
  const orders = bus.consumer('orders', { group: 'receipts', signal })
  try {
    for await (const message of orders) {
      const order = message.json<Order>()
      if (order === null) continue
      await receipts.send('receipts', { order: order.id, paid: order.cents / 100 }, { key: `${order.id}` })
    }
  } catch (error) {
    if (!signal.aborted) throw error
  }
}

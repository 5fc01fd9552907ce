import { type ChannelState, getClient } from 'millrace'
import { defineStore } from 'pinia'
import { computed, onScopeDispose, shallowRef } from 'vue'
import { type Order, orders } from './orders.ts'

// When a Pinia store is where components look. A store outlives its components, so it does not connect by itself: each
// component that needs the orders live says `onMounted(store.follow)`. The first opens the connection, the last one that
// is unmounted closes it, and a server render opens none. Without Pinia, the function is a composable as it stands.

export const useOrders = defineStore('orders', () => {
  const client = getClient()
  // Shallow, and replaced as a whole: the state is immutable, and equal data keeps its reference.
  const state = shallowRef<ChannelState<Order[]>>(client.getState(orders))

  function follow(): () => void {
    const { unsubscribe } = client.subscribe(
      orders,
      {
        state(now) {
          state.value = now
        },
      },
      { delivery: 'frame', label: 'orders in Pinia' },
    )
    onScopeDispose(unsubscribe, true)
    return unsubscribe
  }

  return {
    list: computed(() => state.value.data ?? []),
    open: computed(() => state.value.data?.filter((order) => order.state === 'open').length ?? 0),
    status: computed(() => state.value.status),
    follow,
  }
})

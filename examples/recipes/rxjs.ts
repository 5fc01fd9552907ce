import type { Channel, ChannelState, Client } from 'millrace'
import { Observable } from 'rxjs'

// When the rest of the page is RxJS. Both are cold, and need no `share()`: subscribing again joins the connection that
// is open, the last one to unsubscribe closes it. Prefer them to `from(client.events(channel))`, which hears of an
// unsubscribe only with the next event.

/** The events; completes with the channel, fails when it fails for good. */
export const eventsOf = <S, E>(client: Client, channel: Channel<S, E>): Observable<E> =>
  new Observable((subscriber) => client.subscribe(channel, subscriber).unsubscribe)

/** The state, at the start and after every change; it never fails, since the error is part of it. */
export const stateOf = <S, E>(client: Client, channel: Channel<S, E>): Observable<ChannelState<S>> =>
  new Observable(
    (subscriber) =>
      client.subscribe(channel, {
        state: (state) => subscriber.next(state),
        error: () => subscriber.complete(),
        complete: () => subscriber.complete(),
      }).unsubscribe,
  )

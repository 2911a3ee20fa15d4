/** Request and reply: Python computes, JavaScript asks. workbench/widgets/kit/requests.py is the other half. */

import type { AnyModel } from "@anywidget/types";

/** What went wrong with a request, in words for the reader. */
export class RequestError extends Error {
  override name = "RequestError";
}

/** There is nobody to ask: the kernel is gone, or this is a page without one. The widget shows what it has. */
export class NoKernel extends RequestError {
  override name = "NoKernel";
}

/** A newer request of the same kind took this one's place, or the view is gone: nothing to tell anyone. */
export class Superseded extends Error {
  override name = "Superseded";
}

export interface Reply<T> {
  result: T;
  buffers: DataView[];
}

interface ReplyMessage {
  kind?: string;
  id?: string;
  result?: never;
  error?: string;
  superseded?: boolean;
  no_kernel?: boolean;
}

const gone = () => new NoKernel("The kernel of this widget is gone: run its cell again.");

/** Return in words what went wrong. */
export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

interface Waiting {
  resolve: (reply: Reply<never>) => void;
  reject: (error: Error) => void;
  slow: ReturnType<typeof setTimeout>;
}

export interface AskOptions {
  /** Called once when no answer has come after {@link slowAfter} milliseconds. */
  onSlow?: () => void;
  slowAfter?: number;
}

export class Requests {
  readonly #model: AnyModel;
  readonly #alive: () => boolean;
  readonly #waiting = new Map<string, Waiting>();
  // Every view of a widget hears every message of its model: an id must be this view's own.
  readonly #view = Math.random().toString(36).slice(2);
  #count = 0;

  constructor(model: AnyModel, alive: () => boolean = () => true) {
    this.#model = model;
    this.#alive = alive;
    model.on("msg:custom", this.#receive);
  }

  /**
   * Ask Python to run one of the widget's methods. Rejects with {@link RequestError}, of which {@link NoKernel} says
   * that nobody is there to answer, or with {@link Superseded}.
   */
  ask<T>(method: string, params: Record<string, unknown> = {}, options: AskOptions = {}): Promise<Reply<T>> {
    if (!this.#alive()) {
      return Promise.reject(gone());
    }
    this.#count += 1;
    const id = `${this.#view}-${this.#count}`;
    return new Promise((resolve, reject) => {
      const slow = setTimeout(() => options.onSlow?.(), options.slowAfter ?? 1500);
      this.#waiting.set(id, { resolve: resolve as Waiting["resolve"], reject, slow });
      this.#model.send({ kind: "request", id, method, params });
    });
  }

  /** The kernel is gone: nothing that waits will be answered. */
  lost(): void {
    for (const id of [...this.#waiting.keys()]) this.#take(id)?.reject(gone());
  }

  dispose(): void {
    this.#model.off("msg:custom", this.#receive);
    for (const id of [...this.#waiting.keys()]) this.#take(id)?.reject(new Superseded("The view was closed."));
  }

  #take(id: string): Waiting | undefined {
    const waiting = this.#waiting.get(id);
    if (waiting) clearTimeout(waiting.slow);
    this.#waiting.delete(id);
    return waiting;
  }

  readonly #receive = (message: unknown, buffers: DataView[] = []): void => {
    const reply = message as ReplyMessage | null;
    if (reply?.kind !== "reply" || reply.id === undefined) return;
    const waiting = this.#take(reply.id);
    if (!waiting) return;
    if (reply.superseded) waiting.reject(new Superseded("A newer request took its place."));
    else if (reply.no_kernel) waiting.reject(new NoKernel(reply.error));
    else if (reply.error !== undefined) waiting.reject(new RequestError(reply.error));
    else waiting.resolve({ result: reply.result as never, buffers });
  };
}

/** Turns failures into RFC 9457 problem details; the one place where this door writes an error. */

import { STATUS_CODES } from 'node:http';
import type { Duplex } from 'node:stream';
import type { NextFunction, Request, Response } from 'express';
import { AppError } from '../../domain/error.ts';
import { problemOf, type Problem } from '../../domain/problem.ts';
import { requestIdOf } from './request-id.ts';

const problemType = 'application/problem+json';

/** HTTP has a status of its own for what is `invalid` to everybody else. */
const ownStatuses: Readonly<Record<string, number>> = {
  method_not_allowed: 405,
  unsupported_media_type: 415,
};

/** Told of every failure whose cause callers do not see. */
export type OnFailure = (error: unknown, requestId: string) => void;

/** The last middleware: answers whatever was thrown. */
export function errorHandler(onFailure: OnFailure) {
  return (error: unknown, request: Request, response: Response, _next: NextFunction): void => {
    const failure = appErrorOf(error);
    if (failure.code === 'internal') onFailure(error, requestIdOf(response));
    if (response.headersSent) {
      response.destroy();
      return;
    }
    sendProblem(request, response, failure);
  };
}

function sendProblem(request: Request, response: Response, failure: AppError): void {
  const problem = problemOf(failure, request.path);
  problem.status = ownStatuses[problem.code] ?? problem.status;
  const { retryAfterS } = failure.details;
  if (retryAfterS !== undefined) response.setHeader('Retry-After', Math.ceil(retryAfterS).toString());
  if (failure.code === 'unauthenticated') response.setHeader('WWW-Authenticate', 'Bearer');
  // What is left of a body that nobody wants to read ends with the connection.
  if (!request.complete) response.setHeader('Connection', 'close');
  const body = Buffer.from(JSON.stringify(problem));
  response.writeHead(problem.status, {
    'Content-Type': problemType,
    'Content-Length': body.length,
    'Cache-Control': 'no-store',
  });
  response.end(body);
}

function appErrorOf(error: unknown): AppError {
  if (error instanceof AppError) return error;
  // Express throws this for a path that is not well-formed percent-encoding.
  if (error instanceof URIError)
    return new AppError('invalid', 'The path is not well-formed.', { reason: 'invalid_path' });
  return new AppError('internal', 'an error that no room has named', {}, error);
}

/** Answers what is no HTTP request at all, or one with two meanings, and ends the connection. */
export function answerClientError(error: Error & { code?: string }, socket: Duplex): void {
  if (!socket.writable || error.code === 'ECONNRESET') {
    socket.destroy();
    return;
  }
  const problem = clientProblem(error.code ?? '');
  const body = JSON.stringify(problem);
  const lines = [
    `HTTP/1.1 ${problem.status.toString()} ${STATUS_CODES[problem.status] ?? ''}`,
    'Connection: close',
    `Content-Type: ${problemType}`,
    `Content-Length: ${Buffer.byteLength(body).toString()}`,
  ];
  socket.end(`${lines.join('\r\n')}\r\n\r\n${body}`);
}

function clientProblem(code: string): Problem {
  if (code === 'HPE_HEADER_OVERFLOW') {
    const error = new AppError('too_large', 'The head of a request has at most 16 KiB.', {
      reason: 'headers_too_large',
    });
    return { ...problemOf(error), status: 431 };
  }
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') {
    const error = new AppError('invalid', 'The request took too long to arrive.', { reason: 'request_timeout' });
    return { ...problemOf(error), status: 408 };
  }
  return problemOf(
    new AppError('invalid', 'This is not a well-formed HTTP/1.1 request.', { reason: 'malformed_request' }),
  );
}

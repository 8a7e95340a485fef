// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

/// @title ISaltChannels
/// @notice Payment channels from one payer to one payee, in the chain's native coin or in an ERC-20. The payer deposits
/// once, signs vouchers off chain as it uses the payee's service, and the payee claims what the last voucher allows.
/// @dev A channel is opened, topped up and claimed from any number of times, and closed once: by the payee, who lets
/// the rest go back at once, or by the payer's exit, after a delay that was fixed at opening. A closed channel is never
/// opened again; its identifier stays spent, and so do the vouchers that were signed for it. An identifier is of one run
/// of the constructor: where it runs again, after a reset or on another chain, the same descriptor has another one. A
/// chain that gets the contract out of a genesis or a snapshot has the identifiers of the chain that those were made on.
///
/// The contract has no owner, no fee and no upgrade. Who calls decides nothing but what is said below: whoever may not
/// call needs a signature of the one who may.
///
/// All amounts are in base units of the asset (18 decimals for SALT: 1 SALT = 10^18). All times are in seconds.
///
/// Signatures are EIP-712 (https://eips.ethereum.org/EIPS/eip-712) in the domain of `eip712Domain()`: name
/// "SaltChannels", version "1". An ECDSA signature has 65 bytes, a low s, and v of 27 or 28. An account's signature is
/// its key's, whatever code the account has (EIP-7702), or else what its code accepts (ERC-1271).
///  What an account cannot be sent, because it refuses coins, or because the token reverts or its code is gone, is
/// credited to it. The account can withdraw it to anywhere, and anyone can have it sent to the account. No account, and
/// no token that reverts, can so hold up another. A token that answers a transfer with false, or with anything else than
/// true or nothing, reverts the whole call: UnclearTransfer names it and the account, and the call goes without that row.
///  An account has 100,000 gas to take coins, and a token 200,000 to transfer, whoever is paid: a token that calls its
/// holders cannot make another's close dear. What needs more is credited too, and `withdraw` and `withdrawFor`, with all
/// the gas that the caller gives, are the way out.
///  The gas limit of a transaction decides nothing but whether it reverts. What fails although it had less gas than is
/// said here reverts with InsufficientGas; it is neither credited nor skipped.
interface ISaltChannels {
    /// @notice What a channel is. Its identifier is the EIP-712 hash of this; it is stored nowhere else than in the
    /// log.
    struct Channel {
        /// @notice Whose money it is, and who gets back what is not claimed.
        address payer;
        /// @notice Who can claim. Not the zero address, this contract or the payer.
        address payee;
        /// @notice The ERC-20, or the zero address for the native coin.
        address asset;
        /// @notice The key that signs vouchers, by ECDSA alone; or zero, and the payer itself signs them.
        /// A payee who serves before it claims should ask for a key: a contract wallet can change its mind.
        address signer;
        /// @notice Who can claim and close for the payee beside it, or zero. The money goes to the payee alone. Not the
        /// payer. The payer writes the descriptor, and an operator can close without a voucher: a payee should serve a
        /// channel only if this is zero or its own, and can revoke an operator everywhere with `setOperator`.
        address operator;
        /// @notice How long the payer's exit waits, from MIN_EXIT_DELAY to MAX_EXIT_DELAY seconds.
        uint32 exitDelay;
        /// @notice Tells channels apart that are equal otherwise. Each can be used once.
        bytes32 salt;
    }

    /// @notice Where a channel stands. One storage slot.
    /// @dev 104 bits hold twenty times the supply of SALT (10^30 base units, which need 100).
    struct State {
        /// @notice All that was ever deposited. Zero if the channel was never opened, and only then.
        uint104 deposit;
        /// @notice All that was ever claimed. Never more than the deposit.
        uint104 claimed;
        /// @notice When the payer's exit can be executed, in seconds since 1970 UTC, or zero if none was asked for.
        uint40 exitAt;
        /// @notice Whether the channel is closed, for ever. What was not claimed went back to the payer.
        bool closed;
    }

    /// @notice For which of a payee's channels an operator can claim and close.
    enum OperatorRight {
        /// @notice Those whose descriptor names it. Of every account as long as the payee says nothing else.
        Named,
        /// @notice All of them.
        All,
        /// @notice None, not even those whose descriptor names it.
        Revoked
    }

    /// @notice Why a row of many was skipped.
    enum SkipReason {
        /// @notice The channel is open, and as much was claimed before, or all of the deposit.
        NothingToClaim,
        /// @notice The channel was never opened, or is closed.
        NotOpen,
        /// @notice The row's voucher is not signed: the channel names no signer, and its payer did not sign what the row
        /// has, or no longer says that it did. Who sends a row chooses what is in it, and that can be anyone
        /// (`claimManyFor`): no program may act against a payer on this.
        NotSigned,
        /// @notice Nobody asked for the exit, or its time has not come.
        ExitNotDue
    }

    /// @notice One row of a claim of many channels that have the payee and the asset in common.
    struct Claim {
        /// @notice See Channel.
        address payer;
        /// @notice See Channel.
        address signer;
        /// @notice See Channel.
        address operator;
        /// @notice See Channel.
        uint32 exitDelay;
        /// @notice See Channel.
        bytes32 salt;
        /// @notice What the voucher allows in total, over the channel's life.
        uint256 ceiling;
        /// @notice What is claimed in total, over the channel's life. Not above the ceiling.
        uint256 total;
        /// @notice The signature of Voucher(channel, payee, asset, ceiling).
        bytes voucher;
    }

    /// @notice A channel was opened. The only place where its descriptor is written down.
    /// @param channel The identifier.
    /// @param payer See Channel.
    /// @param payee See Channel.
    /// @param asset See Channel.
    /// @param signer See Channel.
    /// @param operator See Channel.
    /// @param exitDelay See Channel.
    /// @param salt See Channel.
    /// @param deposit What was deposited. Never zero.
    event ChannelOpened(
        bytes32 indexed channel,
        address indexed payer,
        address indexed payee,
        address asset,
        address signer,
        address operator,
        uint32 exitDelay,
        bytes32 salt,
        uint256 deposit
    );

    /// @notice More was deposited.
    /// @param channel The identifier.
    /// @param payer The channel's payer.
    /// @param payee The channel's payee.
    /// @param amount What was added. Never zero.
    /// @param deposit What was ever deposited, with the amount.
    event ChannelToppedUp(
        bytes32 indexed channel, address indexed payer, address indexed payee, uint256 amount, uint256 deposit
    );

    /// @notice The payee claimed, and was sent or credited the amount.
    /// @dev The most frequent event, and so the shortest: who and what the channel is, ChannelOpened has told.
    /// @param channel The identifier.
    /// @param amount What was claimed now. Never zero.
    /// @param claimed What was ever claimed, with the amount.
    event ChannelClaimed(bytes32 indexed channel, uint256 amount, uint256 claimed);

    /// @notice The payer asked for its exit. The payee has until then, at least, to claim.
    /// @param channel The identifier.
    /// @param payer The channel's payer.
    /// @param payee The channel's payee.
    /// @param exitAt From when the exit can be executed, in seconds since 1970 UTC.
    event ChannelExitRequested(bytes32 indexed channel, address indexed payer, address indexed payee, uint256 exitAt);

    /// @notice The payer's `topUp` cancelled the exit that it had asked for.
    /// @param channel The identifier.
    /// @param payer The channel's payer.
    /// @param payee The channel's payee.
    event ChannelExitCancelled(bytes32 indexed channel, address indexed payer, address indexed payee);

    /// @notice The channel was closed, by the payee or by the payer's exit.
    /// @param channel The identifier.
    /// @param payer The channel's payer, who was sent or credited the refund.
    /// @param payee The channel's payee.
    /// @param claimed What was ever claimed.
    /// @param refund The rest of the deposit. Can be zero.
    event ChannelClosed(
        bytes32 indexed channel, address indexed payer, address indexed payee, uint256 claimed, uint256 refund
    );

    /// @notice A row of many was skipped, and the others were not.
    /// @param channel The identifier. Of a channel that was never opened, it is whatever the caller made up.
    /// @param reason Why.
    event ChannelSkipped(bytes32 indexed channel, SkipReason reason);

    /// @notice The payee gave something back to the payer, who was sent or credited it. The channel stays as it is.
    /// @param channel The identifier.
    /// @param payer The channel's payer.
    /// @param payee The channel's payee.
    /// @param amount What was given back, in the channel's asset. Never zero.
    event ChannelRefunded(bytes32 indexed channel, address indexed payer, address indexed payee, uint256 amount);

    /// @notice A payee said for which of its channels an account can claim and close.
    /// @param payee The payee.
    /// @param operator The account.
    /// @param right Which channels.
    event OperatorSet(address indexed payee, address indexed operator, OperatorRight right);

    /// @notice An account was not sent what is its own, and can withdraw it: it could not be sent, or the caller wanted
    /// it credited.
    /// @param account The account.
    /// @param asset The ERC-20, or the zero address for the native coin.
    /// @param amount What was added to its credit.
    event Credited(address indexed account, address indexed asset, uint256 amount);

    /// @notice An account withdrew its credit.
    /// @param account The account.
    /// @param asset The ERC-20, or the zero address for the native coin.
    /// @param to Where it was sent.
    /// @param amount All that the account had to its credit in the asset.
    event CreditWithdrawn(address indexed account, address indexed asset, address indexed to, uint256 amount);

    /// @notice The amount is zero.
    error ZeroAmount();

    /// @notice The payee cannot be paid: it is the zero address, this contract, or the payer.
    /// @param payee The payee that was named.
    error InvalidPayee(address payee);

    /// @notice The account cannot be an operator: it is the channel's payer, or, where a payee names it, the payee
    /// itself or the zero address.
    /// @param operator The operator that was named.
    error InvalidOperator(address operator);

    /// @notice The asset is not an ERC-20: it has no code or answers no balance, or it is the native coin where a token
    /// is needed.
    /// @param asset The asset that was named.
    error InvalidAsset(address asset);

    /// @notice The exit delay is out of bounds.
    /// @param exitDelay The delay that was named, in seconds.
    /// @param least The shortest, in seconds.
    /// @param most The longest, in seconds.
    error InvalidExitDelay(uint256 exitDelay, uint256 least, uint256 most);

    /// @notice The value of the call is not the amount, or not zero although the asset is a token.
    /// @param value The value of the call.
    /// @param due What it should have been.
    error InexactValue(uint256 value, uint256 due);

    /// @notice The deposit would not fit.
    /// @param deposit What was deposited before.
    /// @param amount What should have been added.
    /// @param most The largest deposit.
    error DepositTooLarge(uint256 deposit, uint256 amount, uint256 most);

    /// @notice The deposit was signed for another moment of the channel, or has been made already.
    /// @param channel The identifier.
    /// @param depositBefore What the signature says was deposited before.
    /// @param deposit What was deposited before.
    error DepositOutOfOrder(bytes32 channel, uint256 depositBefore, uint256 deposit);

    /// @notice The channel is, or was, open. Another salt makes another channel.
    /// @param channel The identifier.
    error ChannelUsed(bytes32 channel);

    /// @notice The channel is not open: it was never opened, or it is closed.
    /// @param channel The identifier.
    error ChannelNotOpen(bytes32 channel);

    /// @notice Only the channel's payer can do that, or anyone with its signature.
    /// @param caller Who called.
    /// @param payer The channel's payer.
    error NotPayer(address caller, address payer);

    /// @notice Only the channel's payee can do that, or an operator of it where one may act, or anyone with its
    /// signature.
    /// @param caller Who called.
    /// @param payee The channel's payee.
    error NotPayee(address caller, address payee);

    /// @notice The account did not sign that.
    /// @param account The account that should have signed.
    /// @param digest What it should have signed.
    error InvalidSignature(address account, bytes32 digest);

    /// @notice The signature's time is over.
    /// @param deadline The last second of it, since 1970 UTC.
    /// @param time The block's.
    error SignatureExpired(uint256 deadline, uint256 time);

    /// @notice Packed rows are of 167 bytes each.
    /// @param length The number of bytes, which 167 does not divide.
    error InvalidRows(uint256 length);

    /// @notice A call failed that had less gas than it is to have. With a higher gas limit it may not.
    /// @param account What was called: a payee, a payer or a token.
    /// @param gas The gas that it is to have.
    error InsufficientGas(address account, uint256 gas);

    /// @notice More would be given back than was ever claimed.
    /// @param channel The identifier.
    /// @param amount What should have been given back.
    /// @param claimed What was ever claimed. Zero if the channel was never opened.
    error RefundTooLarge(bytes32 channel, uint256 amount, uint256 claimed);

    /// @notice More is claimed than the voucher allows.
    /// @param channel The identifier.
    /// @param total What is claimed in total.
    /// @param ceiling What the voucher allows in total.
    error AboveCeiling(bytes32 channel, uint256 total, uint256 ceiling);

    /// @notice There is nothing to claim: as much was claimed before, or all of the deposit.
    /// @param channel The identifier.
    /// @param total What is claimed in total.
    /// @param claimed What was ever claimed.
    error NothingToClaim(bytes32 channel, uint256 total, uint256 claimed);

    /// @notice The payer has asked for its exit. Until it cancels that with `topUp`, it cannot ask again, and nobody
    /// can top up by what it signed.
    /// @param channel The identifier.
    /// @param exitAt From when it can be executed, in seconds since 1970 UTC.
    error ExitPending(bytes32 channel, uint256 exitAt);

    /// @notice The exit cannot be executed: nobody asked for it, or its time has not come.
    /// @param channel The identifier.
    /// @param exitAt From when it can be executed, in seconds since 1970 UTC, or zero if nobody asked for it.
    /// @param time The block's.
    error ExitNotDue(bytes32 channel, uint256 exitAt, uint256 time);

    /// @notice The token did not transfer: it reverted, or returned something else than true or nothing.
    /// Mostly the payer's balance or allowance for this contract is below the amount.
    /// @param asset The token.
    /// @param payer The account that should have paid.
    /// @param amount What should have been transferred.
    error TransferRefused(address asset, address payer, uint256 amount);

    /// @notice The token answered a transfer with something else than true or nothing, so that nobody can say whether
    /// it has paid. The way out of a channel in such a token is `claimToCredit` or `exitToCredit`, then `withdraw`.
    /// @param asset The token.
    /// @param to Who should have been paid.
    /// @param amount What should have been transferred.
    error UnclearTransfer(address asset, address to, uint256 amount);

    /// @notice This contract's balance of the token did not change by exactly the amount.
    /// Tokens that take a fee or change balances on their own cannot be used here.
    /// @param asset The token.
    /// @param amount What should have moved.
    /// @param balanceBefore This contract's balance before the transfer.
    /// @param balanceAfter This contract's balance after the transfer; zero if the token no longer answers.
    error InexactTransfer(address asset, uint256 amount, uint256 balanceBefore, uint256 balanceAfter);

    /// @notice The account has no credit in the asset.
    /// @param account The account.
    /// @param asset The asset.
    error NoCredit(address account, address asset);

    /// @notice The credit could not be sent there.
    /// @param asset The asset.
    /// @param to Where it should have been sent.
    /// @param amount The credit.
    error WithdrawalRefused(address asset, address to, uint256 amount);

    /// @notice A token or an account called back while it was called.
    error Reentered();

    /// @notice Opens a channel with the caller's money: the value of the call, or tokens that the caller has approved.
    /// @dev Take a random salt: who counts them reuses them on another chain. Reverts with NotPayer, ChannelUsed,
    /// InvalidPayee, InvalidOperator, InvalidExitDelay, ZeroAmount, DepositTooLarge, InexactValue, InvalidAsset,
    /// TransferRefused, InexactTransfer or Reentered.
    /// @param channel What the channel is. Its payer is the caller.
    /// @param amount How much is deposited. If the asset is the native coin, exactly the value of the call.
    function open(Channel calldata channel, uint256 amount) external payable;

    /// @notice Deposits more of the caller's money, and cancels the exit if the caller had asked for it.
    /// @dev Reverts with NotPayer, ChannelNotOpen, ZeroAmount, DepositTooLarge, InexactValue, InvalidAsset,
    /// TransferRefused, InexactTransfer or Reentered.
    /// @param channel What the channel is. Its payer is the caller.
    /// @param amount How much is added. If the asset is the native coin, exactly the value of the call.
    function topUp(Channel calldata channel, uint256 amount) external payable;

    /// @notice Opens a token channel or tops it up for its payer, from the allowance that the payer has given.
    /// @dev Anyone can call: the payer's signature of Deposit(channel, payee, asset, amount, depositBefore, deadline)
    /// decides. It can be used once, since a deposit changes what was deposited before. While an exit is pending it
    /// cannot be used, however it was signed: it may have been held back since before the payer wanted to leave.
    /// Reverts as `open` and `topUp` do, with SignatureExpired, InvalidSignature, InsufficientGas, DepositOutOfOrder, or
    /// ExitPending.
    /// @param channel What the channel is. Its asset is a token.
    /// @param amount How much is deposited.
    /// @param depositBefore What was ever deposited before: zero opens the channel, anything else tops it up.
    /// @param deadline The last second of the signature, since 1970 UTC.
    /// @param signature The payer's, by ECDSA or ERC-1271.
    function depositFor(
        Channel calldata channel,
        uint256 amount,
        uint256 depositBefore,
        uint256 deadline,
        bytes calldata signature
    ) external;

    /// @notice As `depositFor`, and gives the allowance by the payer's EIP-2612 permit first.
    /// @dev The permit is for this contract, the amount and the same deadline, after which nobody can call. If it fails, because somebody else has
    /// used it, an allowance that is there will do. A permit alone says nothing of the channel, so that the payer signs
    /// both, unless it calls itself: then `signature` is not read.
    /// @param channel What the channel is. Its asset is a token.
    /// @param amount How much is deposited.
    /// @param depositBefore What was ever deposited before: zero opens the channel, anything else tops it up.
    /// @param deadline The last second of both signatures, since 1970 UTC.
    /// @param signature The payer's of Deposit(channel, payee, asset, amount, depositBefore, deadline).
    /// @param v Of the permit.
    /// @param r Of the permit.
    /// @param s Of the permit.
    function depositWithPermit(
        Channel calldata channel,
        uint256 amount,
        uint256 depositBefore,
        uint256 deadline,
        bytes calldata signature,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external;

    /// @notice Opens a token channel or tops it up for its payer, by EIP-3009's `receiveWithAuthorization` with v, r,
    /// s.
    /// @dev Anyone can call: the authorization is for this contract alone, and its nonce is
    /// `authorizationNonce(channel, depositBefore)`. Reverts as `open` and `topUp` do, with DepositOutOfOrder or
    /// ExitPending, or as the token does.
    /// @param channel What the channel is. Its asset is a token.
    /// @param amount How much is deposited; the authorization's value.
    /// @param depositBefore What was ever deposited before: zero opens the channel, anything else tops it up.
    /// @param validAfter The authorization's, as the token reads it.
    /// @param validBefore The authorization's, as the token reads it.
    /// @param v Of the authorization.
    /// @param r Of the authorization.
    /// @param s Of the authorization.
    function depositWithAuthorization(
        Channel calldata channel,
        uint256 amount,
        uint256 depositBefore,
        uint256 validAfter,
        uint256 validBefore,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external;

    /// @notice As `depositWithAuthorization`, through the token's overload that takes the signature as bytes, which
    /// contract wallets need.
    /// @param channel What the channel is. Its asset is a token.
    /// @param amount How much is deposited; the authorization's value.
    /// @param depositBefore What was ever deposited before: zero opens the channel, anything else tops it up.
    /// @param validAfter The authorization's, as the token reads it.
    /// @param validBefore The authorization's, as the token reads it.
    /// @param signature The authorization's, as the token reads it.
    function depositWithWalletAuthorization(
        Channel calldata channel,
        uint256 amount,
        uint256 depositBefore,
        uint256 validAfter,
        uint256 validBefore,
        bytes calldata signature
    ) external;

    /// @notice Opens a token channel or tops it up for its payer, by a Permit2 signature transfer.
    /// @dev Anyone can call: the witness DepositWitness(channel, depositBefore) binds the signature to the channel, and
    /// the spender is this contract. Reverts as `open` and `topUp` do, with DepositOutOfOrder or ExitPending, or as
    /// Permit2 does.
    /// @param channel What the channel is. Its asset is a token.
    /// @param amount How much is deposited; exactly what is permitted.
    /// @param depositBefore What was ever deposited before: zero opens the channel, anything else tops it up.
    /// @param nonce The permit's.
    /// @param deadline The permit's.
    /// @param signature The permit's, as Permit2 reads it.
    function depositWithPermit2(
        Channel calldata channel,
        uint256 amount,
        uint256 depositBefore,
        uint256 nonce,
        uint256 deadline,
        bytes calldata signature
    ) external;

    /// @notice Pays the payee what a voucher allows and was not claimed before.
    /// @dev Pays the difference of `total` and what was claimed before; if `total` is above the deposit, all that is
    /// left of it. Reverts with NotPayee, ChannelNotOpen, NothingToClaim, AboveCeiling, InvalidSignature,
    /// InsufficientGas, UnclearTransfer or Reentered.
    /// @param channel What the channel is. The caller is its payee, or may act for it.
    /// @param ceiling What the voucher allows in total, over the channel's life.
    /// @param total What is claimed in total, over the channel's life. Not above the ceiling.
    /// @param voucher The signature of Voucher(channel, payee, asset, ceiling).
    /// @return amount What was claimed now.
    function claim(Channel calldata channel, uint256 ceiling, uint256 total, bytes calldata voucher)
        external
        returns (uint256 amount);

    /// @notice As `claim`, and credits the payee instead of paying it.
    /// @dev For tokens whose `transfer` answers neither true nor nothing: of such an answer, `withdraw` measures what they
    /// did. Reverts with NotPayee, ChannelNotOpen, NothingToClaim, AboveCeiling, InvalidSignature, InsufficientGas or
    /// Reentered.
    /// @param channel What the channel is. The caller is its payee, or may act for it.
    /// @param ceiling What the voucher allows in total, over the channel's life.
    /// @param total What is claimed in total, over the channel's life. Not above the ceiling.
    /// @param voucher The signature of Voucher(channel, payee, asset, ceiling).
    /// @return amount What was claimed now.
    function claimToCredit(Channel calldata channel, uint256 ceiling, uint256 total, bytes calldata voucher)
        external
        returns (uint256 amount);

    /// @notice Pays the payee for many of its channels in one asset, in one transfer.
    /// @dev Skipped, with ChannelSkipped, is a row that has nothing to claim, whose channel is not open, or whose
    /// voucher is not signed although the payer itself is its signer: what an account says of a signature can change
    /// from one moment to the next, and shall not hold up the others. Any other voucher that nobody signed reverts with
    /// InvalidSignature. Reverts also with NotPayee, AboveCeiling, InsufficientGas, UnclearTransfer or Reentered.
    /// @param payee The payee of all the channels. The caller is it, or may act for it on each of them.
    /// @param asset The asset of all the channels.
    /// @param claims The rows.
    /// @return amount What was claimed now, of all rows. Zero if all were skipped.
    function claimMany(address payee, address asset, Claim[] calldata claims) external returns (uint256 amount);

    /// @notice As `claimMany`, of rows that are packed, which costs less.
    /// @dev A row is of 167 bytes: payer (20), signer (20), exitDelay (4), salt (32), ceiling (13), total (13), voucher
    /// (65: r, s, v), each as of Claim and big-endian. What is above 13 bytes, or a signature that has no 65, is for
    /// `claimMany`. Reverts as `claimMany`, and with InvalidRows.
    /// @param payee The payee of all the channels. The caller is it, or may act for it on all of them.
    /// @param asset The asset of all the channels.
    /// @param operator The operator that all the channels name, or zero.
    /// @param rows The rows, one after another.
    /// @return amount What was claimed now, of all rows. Zero if all were skipped.
    function claimRows(address payee, address asset, address operator, bytes calldata rows)
        external
        returns (uint256 amount);

    /// @notice As `claimMany`, sent by anyone, paid to the payee.
    /// @dev The payee signs Claims(totals), a ClaimTotal(channel, total) for each row, in order. What it signed can be
    /// sent again, and pays only what became claimable since, up to the totals. It has no deadline.
    /// @param payee The payee of all the channels.
    /// @param asset The asset of all the channels.
    /// @param claims The rows.
    /// @param signature The payee's, by ECDSA or ERC-1271.
    /// @return amount What was claimed now, of all rows. Zero if all were skipped.
    function claimManyFor(address payee, address asset, Claim[] calldata claims, bytes calldata signature)
        external
        returns (uint256 amount);

    /// @notice Closes a channel: claims up to `total`, and sends what is left to the payer at once.
    /// @dev If as much was claimed before, the voucher is not read and only the rest is sent back. Reverts with
    /// NotPayee, ChannelNotOpen, AboveCeiling, InvalidSignature, InsufficientGas, UnclearTransfer or Reentered.
    /// @param channel What the channel is. The caller is its payee, or may act for it.
    /// @param ceiling What the voucher allows in total, over the channel's life.
    /// @param total What is claimed in total, over the channel's life. Not above the ceiling.
    /// @param voucher The signature of Voucher(channel, payee, asset, ceiling).
    function close(Channel calldata channel, uint256 ceiling, uint256 total, bytes calldata voucher) external;

    /// @notice As `close`, sent by anyone.
    /// @dev The payee signs Close(channel, total, deposit, deadline) with what was ever deposited, so that a top-up
    /// ends the signature. It should serve no more on the channel until the deadline. Reverts also with
    /// SignatureExpired.
    /// @param channel What the channel is.
    /// @param ceiling What the voucher allows in total, over the channel's life.
    /// @param total What is claimed in total, over the channel's life. Not above the ceiling.
    /// @param voucher The signature of Voucher(channel, payee, asset, ceiling).
    /// @param deadline The last second of the payee's signature, since 1970 UTC.
    /// @param signature The payee's, by ECDSA or ERC-1271.
    function closeFor(
        Channel calldata channel,
        uint256 ceiling,
        uint256 total,
        bytes calldata voucher,
        uint256 deadline,
        bytes calldata signature
    ) external;

    /// @notice Closes many of a payee's channels in one asset: pays the payee in one transfer, and each payer what is
    /// left.
    /// @dev Skipped, with ChannelSkipped, is a row whose channel is not open, or whose voucher is not signed although
    /// the payer itself is its signer; such a channel stays open. A row with nothing to claim closes, and its voucher
    /// is not read. Reverts as `claimMany`.
    /// @param payee The payee of all the channels. The caller is it, or may act for it on each of them.
    /// @param asset The asset of all the channels.
    /// @param claims The rows.
    /// @return amount What was claimed now, of all rows.
    function closeMany(address payee, address asset, Claim[] calldata claims) external returns (uint256 amount);

    /// @notice Gives some of what the caller claimed back to the payer, without closing the channel. It may be closed.
    /// @dev The money is the caller's, not the channel's: the value of the call, or tokens that the caller has
    /// approved. Deposit and claimed stay as they are, and vouchers go on to mean what they did. The contract does not
    /// remember refunds: one is not above what was ever claimed, but who calls twice pays twice. Reverts with NotPayee,
    /// ZeroAmount, RefundTooLarge, InexactValue, InvalidAsset, TransferRefused, InexactTransfer, InsufficientGas,
    /// UnclearTransfer or Reentered.
    /// @param channel What the channel is. Its payee is the caller; an operator cannot spend for it.
    /// @param amount How much. If the asset is the native coin, exactly the value of the call.
    function refund(Channel calldata channel, uint256 amount) external payable;

    /// @notice Says for which of the caller's channels, as their payee, an account can claim and close.
    /// @dev Holds for channels that are open and for those to come, until it is set anew. Reverts with InvalidOperator
    /// or Reentered.
    /// @param operator The account. Not the zero address or the caller.
    /// @param right Which channels.
    function setOperator(address operator, OperatorRight right) external;

    /// @notice Asks for the caller's exit, which can be executed after the channel's delay.
    /// @dev The payee can claim until it is executed. Reverts with NotPayer, ChannelNotOpen, ExitPending
    /// or Reentered.
    /// @param channel What the channel is. Its payer is the caller.
    function requestExit(Channel calldata channel) external;

    /// @notice As `requestExit`, sent by anyone.
    /// @dev The payer signs Exit(channel, deposit, deadline) with what was ever deposited, so that a top-up ends the
    /// signature. Reverts with ChannelNotOpen, ExitPending, SignatureExpired, InvalidSignature, InsufficientGas or
    /// Reentered.
    /// @param channel What the channel is.
    /// @param deadline The last second of the signature, since 1970 UTC.
    /// @param signature The payer's, by ECDSA or ERC-1271.
    function requestExitFor(Channel calldata channel, uint256 deadline, bytes calldata signature) external;

    /// @notice Closes a channel whose exit is due, and sends what is left to the payer. Anyone can call.
    /// @dev Reverts with ChannelNotOpen, ExitNotDue, InsufficientGas, UnclearTransfer or Reentered.
    /// @param channel What the channel is.
    function exit(Channel calldata channel) external;

    /// @notice As `exit`, and credits the payer instead of paying it. Only the payer can call.
    /// @dev For tokens whose `transfer` answers neither true nor nothing: of such an answer, `withdraw` measures what they
    /// did. Reverts with NotPayer, ChannelNotOpen, ExitNotDue or Reentered.
    /// @param channel What the channel is. Its payer is the caller.
    function exitToCredit(Channel calldata channel) external;

    /// @notice As `exit`, of many channels, of any payers and in any assets.
    /// @dev Skipped, with ChannelSkipped, is a channel that is not open, or whose exit is not due. Reverts with
    /// InsufficientGas, UnclearTransfer or Reentered. The first two name the asset or the account; send the call again
    /// with more gas, or without its channels.
    /// @param many What the channels are.
    function exitMany(Channel[] calldata many) external;

    /// @notice Sends all of the caller's credit in an asset.
    /// @dev The recipient gets all the gas that is left. If a token answers true or nothing, it is believed. If it
    /// answers anything else, this contract's balance decides whether it has sent. Reverts with NoCredit,
    /// WithdrawalRefused, InvalidAsset, InexactTransfer or Reentered.
    /// @param asset The ERC-20, or the zero address for the native coin.
    /// @param to Where it is sent. Not the zero address or this contract.
    function withdraw(address asset, address to) external;

    /// @notice Sends all of an account's credit in an asset to the account itself. Anyone can call.
    /// @dev For accounts that can be paid and cannot call `withdraw`, as a contract that splits money. Otherwise as
    /// `withdraw`.
    /// @param account Whose credit it is, and where it is sent.
    /// @param asset The ERC-20, or the zero address for the native coin.
    function withdrawFor(address account, address asset) external;

    /// @notice A channel's identifier: EIP-712's hash of Channel in the domain of CHANNEL_DOMAIN_SEPARATOR.
    /// @dev It stays what it is if a fork changes the chain's id, so that no deposit is lost sight of. Signatures do
    /// not: they hold on the chain whose id they name.
    /// @param channel What the channel is.
    function channelId(Channel calldata channel) external view returns (bytes32);

    /// @notice For which of a payee's channels an account can claim and close.
    /// @param payee The payee.
    /// @param operator The account.
    function operatorRight(address payee, address operator) external view returns (OperatorRight);

    /// @notice Where a channel stands.
    /// @param channel The identifier.
    function stateOf(bytes32 channel) external view returns (State memory);

    /// @notice What an account can withdraw.
    /// @param account The account.
    /// @param asset The ERC-20, or the zero address for the native coin.
    function creditOf(address account, address asset) external view returns (uint256);

    /// @notice What the signer, or the payer, signs for the payee.
    /// @param channel The identifier.
    /// @param payee The channel's. It is part of the identifier, and signed for wallets to show it.
    /// @param asset The channel's, for the same reason.
    /// @param ceiling What the payee can claim in total, over the channel's life.
    function voucherDigest(bytes32 channel, address payee, address asset, uint256 ceiling)
        external
        view
        returns (bytes32);

    /// @notice What the payer signs for `depositFor` and `depositWithPermit`.
    /// @param channel The identifier.
    /// @param payee The channel's.
    /// @param asset The channel's.
    /// @param amount How much is deposited.
    /// @param depositBefore What was ever deposited before.
    /// @param deadline The last second of the signature, since 1970 UTC.
    function depositDigest(
        bytes32 channel,
        address payee,
        address asset,
        uint256 amount,
        uint256 depositBefore,
        uint256 deadline
    ) external view returns (bytes32);

    /// @notice What the payee signs for `claimManyFor`.
    /// @param payee The payee of all the channels.
    /// @param asset The asset of all the channels.
    /// @param claims The rows. Ceilings and vouchers are not signed.
    function claimsDigest(address payee, address asset, Claim[] calldata claims) external view returns (bytes32);

    /// @notice What the payee signs for `closeFor`.
    /// @param channel The identifier.
    /// @param total What is claimed in total, over the channel's life.
    /// @param deposit What was ever deposited.
    /// @param deadline The last second of the signature, since 1970 UTC.
    function closeDigest(bytes32 channel, uint256 total, uint256 deposit, uint256 deadline)
        external
        view
        returns (bytes32);

    /// @notice What the payer signs for `requestExitFor`.
    /// @param channel The identifier.
    /// @param deposit What was ever deposited.
    /// @param deadline The last second of the signature, since 1970 UTC.
    function exitDigest(bytes32 channel, uint256 deposit, uint256 deadline) external view returns (bytes32);

    /// @notice The nonce of the EIP-3009 authorization that makes a deposit: keccak256(abi.encode(channel, depositBefore)).
    /// @param channel The identifier.
    /// @param depositBefore What was ever deposited before: zero for the opening.
    function authorizationNonce(bytes32 channel, uint256 depositBefore) external pure returns (bytes32);

    /// @notice The EIP-712 domain separator of signatures.
    function DOMAIN_SEPARATOR() external view returns (bytes32);

    /// @notice The EIP-712 domain separator of identifiers: of this contract's name, version, chain and address, and of
    /// a salt out of the block it was created in, so that a chain that is reset has other identifiers if the constructor
    /// runs again. They come back with a genesis or a snapshot that has the contract.
    /// @dev Who computes identifiers itself reads it once, when the deployment is final. Who signs does not need it:
    /// the identifier is in what is signed.
    function CHANNEL_DOMAIN_SEPARATOR() external view returns (bytes32);

    /// @notice The shortest exit delay, in seconds: 15 minutes.
    function MIN_EXIT_DELAY() external view returns (uint256);

    /// @notice The longest exit delay, in seconds: 30 days.
    function MAX_EXIT_DELAY() external view returns (uint256);

    /// @notice keccak256("Channel(address payer,address payee,address asset,address signer,address operator,uint32 exitDelay,bytes32 salt)").
    function CHANNEL_TYPEHASH() external view returns (bytes32);

    /// @notice keccak256("Voucher(bytes32 channel,address payee,address asset,uint256 ceiling)").
    function VOUCHER_TYPEHASH() external view returns (bytes32);

    /// @notice keccak256("Deposit(bytes32 channel,address payee,address asset,uint256 amount,uint256 depositBefore,uint256
    /// deadline)"), in one line.
    function DEPOSIT_TYPEHASH() external view returns (bytes32);

    /// @notice keccak256("ClaimTotal(bytes32 channel,uint256 total)").
    function CLAIM_TOTAL_TYPEHASH() external view returns (bytes32);

    /// @notice keccak256("Claims(ClaimTotal[] totals)ClaimTotal(bytes32 channel,uint256 total)").
    function CLAIMS_TYPEHASH() external view returns (bytes32);

    /// @notice keccak256("Close(bytes32 channel,uint256 total,uint256 deposit,uint256 deadline)").
    function CLOSE_TYPEHASH() external view returns (bytes32);

    /// @notice keccak256("Exit(bytes32 channel,uint256 deposit,uint256 deadline)").
    function EXIT_TYPEHASH() external view returns (bytes32);

    /// @notice keccak256("DepositWitness(bytes32 channel,uint256 depositBefore)").
    function DEPOSIT_WITNESS_TYPEHASH() external view returns (bytes32);
}

// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {ISaltChannels} from "./interfaces/ISaltChannels.sol";
import {AccountSignature} from "./libraries/AccountSignature.sol";
import {ChannelId} from "./libraries/ChannelId.sol";
import {ChannelState, MOST} from "./libraries/ChannelState.sol";
import {ExactTransfer} from "./libraries/ExactTransfer.sol";
import {IERC3009} from "@openzeppelin/contracts/interfaces/draft-IERC3009.sol";
import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import {ISignatureTransfer} from "permit2/interfaces/ISignatureTransfer.sol";
import {EIP712} from "solady/utils/EIP712.sol";
import {EfficientHashLib} from "solady/utils/EfficientHashLib.sol";
import {SafeTransferLib} from "solady/utils/SafeTransferLib.sol";

/// @dev The overload of EIP-3009's function that contract wallets need, as USDC has it.
interface IERC3009Wallet {
    function receiveWithAuthorization(
        address from,
        address to,
        uint256 value,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        bytes calldata signature
    ) external;
}

/// @title SaltChannels
/// @notice Unidirectional payment channels in the native coin and in ERC-20. {ISaltChannels} is the documentation.
contract SaltChannels is ISaltChannels, EIP712 {
    using AccountSignature for address;
    using ChannelId for Channel;
    using ChannelId for Claim;
    using ExactTransfer for address;
    using SafeTransferLib for address;

    /// @inheritdoc ISaltChannels
    uint256 public constant MIN_EXIT_DELAY = 15 minutes;

    /// @inheritdoc ISaltChannels
    uint256 public constant MAX_EXIT_DELAY = 30 days;

    /// @inheritdoc ISaltChannels
    bytes32 public constant CHANNEL_TYPEHASH = ChannelId.TYPEHASH;

    /// @inheritdoc ISaltChannels
    bytes32 public constant VOUCHER_TYPEHASH = keccak256("Voucher(bytes32 channel,uint256 ceiling)");

    /// @inheritdoc ISaltChannels
    bytes32 public constant DEPOSIT_TYPEHASH =
        keccak256("Deposit(bytes32 channel,uint256 amount,uint256 depositBefore,uint256 deadline)");

    /// @inheritdoc ISaltChannels
    bytes32 public constant CLAIM_TOTAL_TYPEHASH = keccak256("ClaimTotal(bytes32 channel,uint256 total)");

    /// @inheritdoc ISaltChannels
    bytes32 public constant CLAIMS_TYPEHASH =
        keccak256("Claims(ClaimTotal[] totals)ClaimTotal(bytes32 channel,uint256 total)");

    /// @inheritdoc ISaltChannels
    bytes32 public constant CLOSE_TYPEHASH = keccak256("Close(bytes32 channel,uint256 total)");

    /// @inheritdoc ISaltChannels
    bytes32 public constant EXIT_TYPEHASH = keccak256("Exit(bytes32 channel,uint256 deposit)");

    /// @inheritdoc ISaltChannels
    bytes32 public constant DEPOSIT_WITNESS_TYPEHASH =
        keccak256("DepositWitness(bytes32 channel,uint256 depositBefore)");

    /// @dev How Permit2 is told of the witness; its other type follows in the order of the alphabet.
    string private constant DEPOSIT_WITNESS_TYPE =
        "DepositWitness witness)DepositWitness(bytes32 channel,uint256 depositBefore)TokenPermissions(address token,uint256 amount)";

    /// @dev Permit2 is at one address on every chain.
    ISignatureTransfer private constant PERMIT2 = ISignatureTransfer(0x000000000022D473030F116dDEE9F6B43aC78BA3);

    /// @dev How the native coin is named.
    address private constant NATIVE = ExactTransfer.NATIVE;

    /// @dev The gas that an account gets for being sent the native coin, so that one that burns it cannot hold up who
    /// is paid in the same transaction. A call that leaves less than that cannot pay for the credit either, and reverts.
    uint256 private constant SEND_GAS = 100_000;

    /// @dev The domain that identifiers are made in. Unlike that of signatures it does not follow a chain that changes
    /// its id: the channels that are there would be lost sight of.
    bytes32 private immutable ID_DOMAIN;

    mapping(bytes32 channel => ChannelState state) private states;

    mapping(address account => mapping(address asset => uint256 amount)) private credits;

    /// @dev 1 while a function runs that moves money. A whole word: a bool would have to be read before it is written.
    uint256 private transient entered;

    modifier nonReentrant() {
        if (entered != 0) revert Reentered();
        entered = 1;
        _;
        entered = 0;
    }

    modifier onlyPayer(address payer) {
        if (msg.sender != payer) revert NotPayer(msg.sender, payer);
        _;
    }

    modifier onlyPayee(address payee) {
        if (msg.sender != payee) revert NotPayee(msg.sender, payee);
        _;
    }

    constructor() {
        ID_DOMAIN = _domainSeparator();
    }

    /// @inheritdoc ISaltChannels
    function open(Channel calldata channel, uint256 amount) external payable nonReentrant onlyPayer(channel.payer) {
        recordOpening(channelId(channel), channel, amount);
        takeFromCaller(channel.asset, amount);
    }

    /// @inheritdoc ISaltChannels
    function topUp(Channel calldata channel, uint256 amount) external payable nonReentrant onlyPayer(channel.payer) {
        recordTopUp(channelId(channel), channel, amount);
        takeFromCaller(channel.asset, amount);
    }

    /// @inheritdoc ISaltChannels
    function depositFor(
        Channel calldata channel,
        uint256 amount,
        uint256 depositBefore,
        uint256 deadline,
        bytes calldata signature
    ) external nonReentrant {
        bytes32 id = recordDeposit(channel, amount, depositBefore);
        requireDepositSigned(channel.payer, id, amount, depositBefore, deadline, signature);
        takeAllowance(channel.asset, channel.payer, amount);
    }

    /// @inheritdoc ISaltChannels
    function depositWithPermit(
        Channel calldata channel,
        uint256 amount,
        uint256 depositBefore,
        uint256 deadline,
        bytes calldata signature,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external nonReentrant {
        bytes32 id = recordDeposit(channel, amount, depositBefore);
        if (msg.sender != channel.payer) {
            requireDepositSigned(channel.payer, id, amount, depositBefore, deadline, signature);
        }

        // Whether this gave the allowance, the transfer will tell.
        try IERC20Permit(channel.asset).permit(channel.payer, address(this), amount, deadline, v, r, s) {} catch {}
        takeAllowance(channel.asset, channel.payer, amount);
    }

    /// @inheritdoc ISaltChannels
    function depositWithAuthorization(
        Channel calldata channel,
        uint256 amount,
        uint256 depositBefore,
        uint256 validAfter,
        uint256 validBefore,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external nonReentrant {
        bytes32 nonce = authorizationNonce(recordDeposit(channel, amount, depositBefore), depositBefore);

        uint256 balanceBefore = channel.asset.balanceOf();
        IERC3009(channel.asset)
            .receiveWithAuthorization(channel.payer, address(this), amount, validAfter, validBefore, nonce, v, r, s);
        channel.asset.requireReceived(amount, balanceBefore);
    }

    /// @inheritdoc ISaltChannels
    function depositWithWalletAuthorization(
        Channel calldata channel,
        uint256 amount,
        uint256 depositBefore,
        uint256 validAfter,
        uint256 validBefore,
        bytes calldata signature
    ) external nonReentrant {
        bytes32 nonce = authorizationNonce(recordDeposit(channel, amount, depositBefore), depositBefore);

        uint256 balanceBefore = channel.asset.balanceOf();
        IERC3009Wallet(channel.asset)
            .receiveWithAuthorization(channel.payer, address(this), amount, validAfter, validBefore, nonce, signature);
        channel.asset.requireReceived(amount, balanceBefore);
    }

    /// @inheritdoc ISaltChannels
    function depositWithPermit2(
        Channel calldata channel,
        uint256 amount,
        uint256 depositBefore,
        uint256 nonce,
        uint256 deadline,
        bytes calldata signature
    ) external nonReentrant {
        bytes32 id = recordDeposit(channel, amount, depositBefore);

        uint256 balanceBefore = channel.asset.balanceOf();
        PERMIT2.permitWitnessTransferFrom(
            ISignatureTransfer.PermitTransferFrom({
                permitted: ISignatureTransfer.TokenPermissions({token: channel.asset, amount: amount}),
                nonce: nonce,
                deadline: deadline
            }),
            ISignatureTransfer.SignatureTransferDetails({to: address(this), requestedAmount: amount}),
            channel.payer,
            keccak256(abi.encode(DEPOSIT_WITNESS_TYPEHASH, id, depositBefore)),
            DEPOSIT_WITNESS_TYPE,
            signature
        );
        channel.asset.requireReceived(amount, balanceBefore);
    }

    /// @inheritdoc ISaltChannels
    function claim(Channel calldata channel, uint256 ceiling, uint256 total, bytes calldata voucher)
        external
        nonReentrant
        onlyPayee(channel.payee)
        returns (uint256 amount)
    {
        bytes32 id = channelId(channel);
        ChannelState state = states[id];

        // Nothing is claimable of a channel that is not open either.
        amount = state.claimable(total);
        if (amount == 0) {
            requireOpen(id, state);
            revert NothingToClaim(id, total, state.claimed());
        }
        requireVoucher(id, channel, ceiling, total, voucher);

        states[id] = recordClaim(id, state, amount);
        pay(channel.asset, msg.sender, amount);
    }

    /// @inheritdoc ISaltChannels
    function claimMany(address asset, Claim[] calldata claims) external nonReentrant returns (uint256 amount) {
        amount = claimRows(msg.sender, asset, claims);
    }

    /// @inheritdoc ISaltChannels
    function claimManyFor(address payee, address asset, Claim[] calldata claims, bytes calldata signature)
        external
        nonReentrant
        returns (uint256 amount)
    {
        requireSigned(payee, claimsDigest(payee, asset, claims), signature);
        amount = claimRows(payee, asset, claims);
    }

    /// @inheritdoc ISaltChannels
    function close(Channel calldata channel, uint256 ceiling, uint256 total, bytes calldata voucher)
        external
        nonReentrant
        onlyPayee(channel.payee)
    {
        closeChannel(channelId(channel), channel, ceiling, total, voucher);
    }

    /// @inheritdoc ISaltChannels
    function closeFor(
        Channel calldata channel,
        uint256 ceiling,
        uint256 total,
        bytes calldata voucher,
        bytes calldata signature
    ) external nonReentrant {
        bytes32 id = channelId(channel);
        requireSigned(channel.payee, closeDigest(id, total), signature);
        closeChannel(id, channel, ceiling, total, voucher);
    }

    /// @inheritdoc ISaltChannels
    function requestExit(Channel calldata channel) external nonReentrant onlyPayer(channel.payer) {
        bytes32 id = channelId(channel);
        recordExitRequest(id, channel, openStateOf(id));
    }

    /// @inheritdoc ISaltChannels
    function requestExitFor(Channel calldata channel, bytes calldata signature) external nonReentrant {
        bytes32 id = channelId(channel);
        ChannelState state = openStateOf(id);
        requireSigned(channel.payer, exitDigest(id, state.deposit()), signature);
        recordExitRequest(id, channel, state);
    }

    /// @inheritdoc ISaltChannels
    /// @dev A block producer can move the time by seconds, and the shortest delay is minutes.
    // forge-lint: disable-next-item(block-timestamp)
    function exit(Channel calldata channel) external nonReentrant {
        bytes32 id = channelId(channel);
        ChannelState state = openStateOf(id);
        uint256 exitAt = state.exitAt();
        if (exitAt == 0 || block.timestamp < exitAt) revert ExitNotDue(id, exitAt, block.timestamp);

        uint256 refund = recordClose(id, state, channel);
        pay(channel.asset, channel.payer, refund);
    }

    /// @inheritdoc ISaltChannels
    function withdraw(address asset, address to) external nonReentrant {
        uint256 amount = credits[msg.sender][asset];
        if (amount == 0) revert NoCredit(msg.sender, asset);

        delete credits[msg.sender][asset];
        emit CreditWithdrawn(msg.sender, asset, to, amount);

        if (to == address(0) || to == address(this) || !asset.trySend(to, amount, gasleft())) {
            revert WithdrawalRefused(asset, to, amount);
        }
    }

    /// @inheritdoc ISaltChannels
    function stateOf(bytes32 channel) external view returns (State memory) {
        return states[channel].unpack();
    }

    /// @inheritdoc ISaltChannels
    function creditOf(address account, address asset) external view returns (uint256) {
        return credits[account][asset];
    }

    /// @inheritdoc ISaltChannels
    function DOMAIN_SEPARATOR() external view returns (bytes32) {
        return _domainSeparator();
    }

    /// @inheritdoc ISaltChannels
    function channelId(Channel calldata channel) public view returns (bytes32) {
        return channel.idIn(ID_DOMAIN);
    }

    /// @inheritdoc ISaltChannels
    function voucherDigest(bytes32 channel, uint256 ceiling) public view returns (bytes32) {
        return _hashTypedData(EfficientHashLib.hash(VOUCHER_TYPEHASH, channel, bytes32(ceiling)));
    }

    /// @inheritdoc ISaltChannels
    function depositDigest(bytes32 channel, uint256 amount, uint256 depositBefore, uint256 deadline)
        public
        view
        returns (bytes32)
    {
        return _hashTypedData(keccak256(abi.encode(DEPOSIT_TYPEHASH, channel, amount, depositBefore, deadline)));
    }

    /// @inheritdoc ISaltChannels
    function claimsDigest(address payee, address asset, Claim[] calldata claims) public view returns (bytes32) {
        bytes32[] memory totals = new bytes32[](claims.length);
        for (uint256 i = 0; i < claims.length; ++i) {
            totals[i] =
                keccak256(abi.encode(CLAIM_TOTAL_TYPEHASH, claims[i].idIn(payee, asset, ID_DOMAIN), claims[i].total));
        }
        return _hashTypedData(keccak256(abi.encode(CLAIMS_TYPEHASH, keccak256(abi.encodePacked(totals)))));
    }

    /// @inheritdoc ISaltChannels
    function closeDigest(bytes32 channel, uint256 total) public view returns (bytes32) {
        return _hashTypedData(keccak256(abi.encode(CLOSE_TYPEHASH, channel, total)));
    }

    /// @inheritdoc ISaltChannels
    function exitDigest(bytes32 channel, uint256 deposit) public view returns (bytes32) {
        return _hashTypedData(keccak256(abi.encode(EXIT_TYPEHASH, channel, deposit)));
    }

    /// @inheritdoc ISaltChannels
    function authorizationNonce(bytes32 channel, uint256 depositBefore) public pure returns (bytes32) {
        return keccak256(abi.encode(channel, depositBefore));
    }

    /// @dev Records a deposit of tokens that the payer signed for.
    function recordDeposit(Channel calldata channel, uint256 amount, uint256 depositBefore)
        private
        returns (bytes32 id)
    {
        address asset = channel.asset;
        if (asset == NATIVE || asset.code.length == 0) revert InvalidAsset(asset);

        id = channelId(channel);
        if (depositBefore == 0) {
            recordOpening(id, channel, amount);
        } else {
            uint256 deposit = states[id].deposit();
            if (deposit != depositBefore) revert DepositOutOfOrder(id, depositBefore, deposit);
            recordTopUp(id, channel, amount);
        }
    }

    /// @dev Reads every field by itself, and so refuses those with dirty bits. Each once: that is what costs.
    function recordOpening(bytes32 id, Channel calldata channel, uint256 amount) private {
        if (ChannelState.unwrap(states[id]) != 0) revert ChannelUsed(id);

        (address payer, address payee) = (channel.payer, channel.payee);
        if (payee == address(0) || payee == address(this) || payee == payer) revert InvalidPayee(payee);
        uint32 exitDelay = channel.exitDelay;
        if (exitDelay < MIN_EXIT_DELAY || exitDelay > MAX_EXIT_DELAY) {
            revert InvalidExitDelay(exitDelay, MIN_EXIT_DELAY, MAX_EXIT_DELAY);
        }

        states[id] = ChannelState.wrap(sum(0, amount));
        emit ChannelOpened(id, payer, payee, channel.asset, channel.signer, exitDelay, channel.salt, amount);
    }

    function recordTopUp(bytes32 id, Channel calldata channel, uint256 amount) private {
        ChannelState state = openStateOf(id);
        if (state.exitAt() != 0) {
            state = state.withExitAt(0);
            emit ChannelExitCancelled(id, channel.payer, channel.payee);
        }

        uint256 deposit = sum(state.deposit(), amount);
        states[id] = state.withDeposit(deposit);
        emit ChannelToppedUp(id, channel.payer, channel.payee, amount, deposit);
    }

    /// @dev The caller stores the new state.
    function recordClaim(bytes32 id, ChannelState state, uint256 amount) private returns (ChannelState next) {
        next = state.withClaim(amount);
        emit ChannelClaimed(id, amount, next.claimed());
    }

    function recordExitRequest(bytes32 id, Channel calldata channel, ChannelState state) private {
        if (state.exitAt() != 0) revert ExitPending(id, state.exitAt());

        uint256 exitAt = block.timestamp + channel.exitDelay;
        states[id] = state.withExitAt(exitAt);
        emit ChannelExitRequested(id, channel.payer, channel.payee, exitAt);
    }

    function recordClose(bytes32 id, ChannelState state, Channel calldata channel) private returns (uint256 refund) {
        uint256 claimed = state.claimed();
        refund = state.deposit() - claimed;
        states[id] = state.asClosed();
        emit ChannelClosed(id, channel.payer, channel.payee, claimed, refund);
    }

    function claimRows(address payee, address asset, Claim[] calldata claims) private returns (uint256 amount) {
        for (uint256 i = 0; i < claims.length; ++i) {
            amount += claimRow(payee, asset, claims[i]);
        }
        pay(asset, payee, amount);
    }

    function claimRow(address payee, address asset, Claim calldata row) private returns (uint256 amount) {
        bytes32 id = row.idIn(payee, asset, ID_DOMAIN);
        ChannelState state = states[id];

        amount = state.claimable(row.total);
        if (amount == 0) return 0;

        address signer = row.signer;
        bytes32 digest = voucherDigestWithin(id, row.total, row.ceiling);
        if (signer == address(0)) {
            address payer = row.payer;
            if (!payer.isSignedBy(digest, row.voucher)) {
                // A wallet may have changed its mind a moment ago. It shall not hold up the other rows.
                if (payer.code.length != 0) return 0;
                revert InvalidSignature(payer, digest);
            }
        } else if (!signer.isSignedByKey(digest, row.voucher)) {
            revert InvalidSignature(signer, digest);
        }

        states[id] = recordClaim(id, state, amount);
    }

    function closeChannel(bytes32 id, Channel calldata channel, uint256 ceiling, uint256 total, bytes calldata voucher)
        private
    {
        ChannelState state = openStateOf(id);

        uint256 amount = state.claimable(total);
        if (amount != 0) {
            requireVoucher(id, channel, ceiling, total, voucher);
            state = recordClaim(id, state, amount);
        }
        uint256 refund = recordClose(id, state, channel);

        pay(channel.asset, channel.payee, amount);
        pay(channel.asset, channel.payer, refund);
    }

    /// @dev Takes the value of the call, or tokens from the caller's allowance.
    function takeFromCaller(address asset, uint256 amount) private {
        if (asset == NATIVE) {
            if (msg.value != amount) revert InexactValue(msg.value, amount);
        } else {
            if (msg.value != 0) revert InexactValue(msg.value, 0);
            takeAllowance(asset, msg.sender, amount);
        }
    }

    /// @dev Whoever calls this has made sure that the payer agrees.
    // slither-disable-next-line arbitrary-send-erc20
    function takeAllowance(address asset, address payer, uint256 amount) private {
        uint256 balanceBefore = asset.balanceOf();
        if (!asset.trySafeTransferFrom(payer, address(this), amount)) revert TransferRefused(asset, payer, amount);
        asset.requireReceived(amount, balanceBefore);
    }

    /// @dev Sends, or credits what cannot be sent.
    function pay(address asset, address to, uint256 amount) private {
        if (amount == 0 || asset.trySend(to, amount, SEND_GAS)) return;
        credits[to][asset] += amount;
        emit Credited(to, asset, amount);
    }

    /// @dev A block producer can move the time by seconds, and the deposit is what the payer signed either way.
    // forge-lint: disable-next-item(block-timestamp)
    function requireDepositSigned(
        address payer,
        bytes32 id,
        uint256 amount,
        uint256 depositBefore,
        uint256 deadline,
        bytes calldata signature
    ) private view {
        if (block.timestamp > deadline) revert SignatureExpired(deadline, block.timestamp);
        requireSigned(payer, depositDigest(id, amount, depositBefore, deadline), signature);
    }

    function requireVoucher(
        bytes32 id,
        Channel calldata channel,
        uint256 ceiling,
        uint256 total,
        bytes calldata voucher
    ) private view {
        address signer = channel.signer;
        bytes32 digest = voucherDigestWithin(id, total, ceiling);
        if (signer == address(0)) requireSigned(channel.payer, digest, voucher);
        else if (!signer.isSignedByKey(digest, voucher)) revert InvalidSignature(signer, digest);
    }

    function requireSigned(address account, bytes32 digest, bytes calldata signature) private view {
        if (!account.isSignedBy(digest, signature)) revert InvalidSignature(account, digest);
    }

    function voucherDigestWithin(bytes32 id, uint256 total, uint256 ceiling) private view returns (bytes32) {
        if (total > ceiling) revert AboveCeiling(id, total, ceiling);
        return voucherDigest(id, ceiling);
    }

    function openStateOf(bytes32 id) private view returns (ChannelState state) {
        state = states[id];
        requireOpen(id, state);
    }

    function requireOpen(bytes32 id, ChannelState state) private pure {
        if (!state.isOpen()) revert ChannelNotOpen(id);
    }

    /// @dev A deposit with more added to it. A deposit is never above MOST.
    function sum(uint256 deposit, uint256 amount) private pure returns (uint256) {
        if (amount == 0) revert ZeroAmount();
        unchecked {
            if (amount > MOST - deposit) revert DepositTooLarge(deposit, amount, MOST);
            return deposit + amount;
        }
    }

    function _domainNameAndVersion() internal pure override returns (string memory, string memory) {
        return ("SaltChannels", "1");
    }
}
